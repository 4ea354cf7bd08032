"""A package is read as Microsoft's generator writes it: paths, bodies, names on the wire, values, shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra.sdk_models import ApiFolder, Attribute, Put, api_folders
from tests.infra.trim_types import resources_of

OPERATIONS = """
def build_create_request(name: str, **kwargs):
    api_version: str = kwargs.pop("api_version", _params.pop("api-version", self._api_version or "2025-01-01"))
    _url = kwargs.pop("template_url", "/subscriptions/{subscriptionId}/providers/Contoso.Desks/rooms/{roomName}")
    return HttpRequest(method="PUT", url=_url)

def build_settings_request(name: str, **kwargs):
    api_version: str = kwargs.pop("api_version", _params.pop("api-version", "2025-01-01"))
    _url = kwargs.pop("template_url", "/{scope}/providers/Contoso.Desks/rooms/{roomName}/config/lights")
    return HttpRequest(method="PUT", url=_url)

def build_get_request(name: str, **kwargs):
    _url = kwargs.pop("template_url", "/{scope}/providers/Contoso.Desks/rooms/{roomName}")
    return HttpRequest(method="GET", url=_url)

class RoomsOperations:
    def create(self, name, room):
        _json = self._serialize.body(room, "RoomCreate")
        _request = build_create_request(name=name)
        return self._deserialize("Room", pipeline_response)

    def set_lights(self, name, settings):
        _json = self._serialize.body(settings, "Lights")
        _request = build_settings_request(name=name)
        return self._deserialize("Lights", pipeline_response)

    def get(self, name):
        _request = build_get_request(name=name)
        return self._deserialize("Room", pipeline_response)
"""

MODELS = """
class Room(Resource):
    _attribute_map = {"id": {"key": "id", "type": "str"}, "etag": {"key": "etag", "type": "str"}}

class RoomCreate(Model):
    _validation = {"desks": {"required": True}, "state": {"readonly": True}}
    _attribute_map = {
        "desks": {"key": "properties.desks", "type": "int"},
        "state": {"key": "properties.state", "type": "str"},
        "floor": {"key": "properties.floor", "type": "str"},
        "door": {"key": "properties.door", "type": "Door"},
        "odata": {"key": "odata\\\\.type", "type": "str"},
        "tags": {"key": "tags", "type": "{str}"},
    }

    def __init__(self, *, desks: int, floor: Optional[Union[str, "_models.Floor"]] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)

class Door(Model):
    _attribute_map = {"kind": {"key": "kind", "type": "str"}}
    _subtype_map = {"kind": {"Glass": "GlassDoor", "Wood": "WoodDoor"}}

class GlassDoor(Door):
    _attribute_map = {"kind": {"key": "kind", "type": "str"}, "tint": {"key": "tint", "type": "float"}}

class WoodDoor(Door):
    _attribute_map = {"kind": {"key": "kind", "type": "str"}}

class Lights(Model):
    _attribute_map = {"on": {"key": "on", "type": "bool"}}
"""

ENUMS = """
class Floor(str, Enum):
    \"\"\"Where it is.\"\"\"

    UP = "Up"
    DOWN = "Down"
"""


@pytest.fixture
def api(tmp_path: Path) -> ApiFolder:
    """The one API version of a package of Contoso's."""
    folder = tmp_path / "azure" / "mgmt" / "desks"
    for name, text in (
        ("operations/_rooms_operations.py", OPERATIONS),
        ("models/_models_py3.py", MODELS),
        ("models/_enums.py", ENUMS),
        ("aio/operations/_rooms_operations.py", OPERATIONS),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (found,) = api_folders(tmp_path)
    return found


def test_what_can_be_written_is_known_by_its_path_and_version(api: ApiFolder) -> None:
    assert api.puts == [
        Put("contoso.desks/rooms", "2025-01-01", "", "RoomCreate", "Room"),
        Put("contoso.desks/rooms/config", "2025-01-01", "lights", "Lights", "Lights"),
    ]


def test_objects_that_the_package_has_flattened_are_put_together_again(api: ApiFolder) -> None:
    level = api.level("RoomCreate")

    assert level.own.keys() == {"odata.type", "tags"}
    properties = level.inner["properties"].own
    assert properties["desks"] == Attribute(required=True, read_only=False, type="int")
    assert properties["state"].read_only
    assert properties["floor"].choices == ("Up", "Down")
    assert api.shapes("Door") == ("kind", {"Glass": "GlassDoor", "Wood": "WoodDoor"})


def test_names_are_kept_everywhere_and_objects_only_where_they_are_used(api: ApiFolder) -> None:
    uses: dict[str, list[Any]] = {
        "contoso.desks/rooms@2025-01-01": [{"name": "a", "properties": {"door": {"kind": "Glass", "tint": 1}}}],
        "contoso.desks/rooms/config@2025-01-01": [{"name": "lights", "on": True}],
    }

    found = resources_of(api, uses)

    room = found["contoso.desks/rooms@2025-01-01"]["properties"]
    assert room["etag"] == [2, None], "what only the answer has can only be read"
    assert room["name"][0] == 1
    required, properties = room["properties"]
    assert required == 1
    assert properties["properties"]["desks"] == [1, {"kind": "integer"}]
    door = properties["properties"]["door"][1]
    assert door["by"] == "kind"
    assert door["of"]["Wood"] is None
    assert door["of"]["Glass"]["properties"]["tint"] == [0, {"kind": "number"}]
    settings = found["contoso.desks/rooms/config@2025-01-01"]
    assert settings["of"]["lights"]["properties"]["on"] == [0, {"kind": "boolean"}]
