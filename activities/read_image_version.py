"""Reads an image version and how far it has been replicated."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, answering, as_json
from adapters.image_sources import read_version

bp = df.Blueprint()


@bp.activity_trigger(input_name="version")
def read_image_version(version: str) -> Payload:
    """In: the id of an image version. Out: `{"version": ImageVersion, or null when it is gone}` or `{"error": ...}`."""

    def read() -> Payload:
        found = read_version(version)
        return {"version": None if found is None else as_json(found)}

    return answering(read)
