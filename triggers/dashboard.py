"""The page for operators: static files that hold no data, so that a browser may have them before anybody has signed in.

What the page shows it asks of the HTTP API, with the key or the sign-in of whoever looks at it: see ADR 24.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import azure.durable_functions as df
import azure.functions as func

from adapters.settings import APP_ROOT
from triggers.conditional import content_unless_known
from triggers.problems import problem

bp = df.Blueprint()

FOLDER = APP_ROOT / "dashboard"

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Nothing comes from elsewhere or goes elsewhere, no script stands in the page, and no text ever becomes a script."""


@bp.route(route="dashboard", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def show_dashboard(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/dashboard: the page itself. It holds no data and asks for none before it has a key or a sign-in."""
    return _file(req, "index.html")


@bp.route(route="dashboard/{file}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def show_dashboard_file(req: func.HttpRequest) -> func.HttpResponse:
    """GET /api/dashboard/{file}: a script, style, picture or font of the page; 404 for anything else."""
    return _file(req, req.route_params.get("file", ""))


def _file(req: func.HttpRequest, name: str) -> func.HttpResponse:
    # Names are looked up, never joined: a request cannot name a file outside the folder.
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in _TYPES}
    path = files.get(name)
    if path is None:
        return problem(404, "NoSuchFile", f"the dashboard has no file {name[:100]!r}")
    response = content_unless_known(req.headers, path.read_bytes(), _TYPES[PurePosixPath(name).suffix])
    for header, value in HEADERS.items():
        response.headers[header] = value
    return response
