"""Keeps other sites' pages from telling a rollout anything in the name of somebody who is signed in here.

A sign-in of App Service is a cookie, which a browser sends along whoever made it ask. A function key is not: nobody
else's page knows it. Programs such as curl say nothing about where a request comes from, and are let through.
"""

from __future__ import annotations

from collections.abc import Mapping

import azure.functions as func

from triggers.problems import problem


def refuse_other_sites(headers: Mapping[str, str]) -> func.HttpResponse | None:
    """403 for a request that a page of another site has made, None for any other.

    Every browser since 2023 says so in Sec-Fetch-Site, which no page can change. One that does not, but names an
    Origin, must send JSON: another site's page cannot, unless it is allowed to by CORS.
    """
    told = {name.lower(): value.strip().lower() for name, value in headers.items()}
    site = told.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return None
    if site is None and ("origin" not in told or told.get("content-type", "").startswith("application/json")):
        return None
    return problem(403, "OtherSite", "a page of another site may not ask for this in your name")
