"""What the real worker refuses is refused here with the function's and the parameter's name, and the rest is not."""

from pathlib import Path

import pytest

from localhost.app import AppError, load_app
from tests.localhost.building import host_of, write_app

ACTIVITY = '@app.activity_trigger(input_name="x")\ndef act(x{annotation}): return 1\n'


@pytest.mark.parametrize(
    "annotation",
    [
        "list[str]",
        "dict[str, typing.Any]",
        "tuple[int, ...]",
        "str | None",
        "typing.Optional[str]",
        "typing.Union[str, int]",
        "typing.Literal['a']",
        "collections.abc.Mapping[str, str]",
    ],
)
@pytest.mark.parametrize("future", [False, True])
def test_annotations_that_are_no_class_are_refused(annotation: str, future: bool, tmp_path: Path) -> None:
    source = "import typing, collections.abc\n" + ACTIVITY.format(annotation=f": {annotation}")
    write_app(tmp_path, source)
    if future:
        script = tmp_path / "function_app.py"
        script.write_text("from __future__ import annotations\n" + script.read_text())
    with pytest.raises(AppError, match=r"function 'act': parameter 'x' is annotated"):
        load_app(tmp_path)


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        ": str",
        ": int",
        ": dict",
        ": list",
        ": typing.List[str]",
        ": typing.Dict[str, int]",
        ": typing.Mapping[str, int]",
        ": typing.Any",
        ": object",
        ": Typed",
        ": Data",
        ": typing.Annotated[str, 'x']",
    ],
)
def test_annotations_that_the_worker_takes_are_taken(annotation: str, tmp_path: Path) -> None:
    types = """
import dataclasses, typing
class Typed(typing.TypedDict):
    a: int
@dataclasses.dataclass
class Data:
    a: int
"""
    assert load_app(write_app(tmp_path, types + ACTIVITY.format(annotation=annotation))).has_activity("ACT")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            '@app.orchestration_trigger(context_name="ctx")\ndef flow(ctx): yield\n',
            "function 'flow': context_name must be 'context'",
        ),
        (
            '@app.entity_trigger(context_name="ctx")\ndef thing(ctx): ...\n',
            "function 'thing': context_name must be 'context'",
        ),
        ('@app.activity_trigger(input_name="y")\ndef act(x): ...\n', "function 'act': parameter 'x' has no binding"),
        (
            '@app.durable_client_input(client_name="client")\n' + ACTIVITY.format(annotation=""),
            "function 'act': binding 'client' has no parameter",
        ),
        (
            '@app.event_grid_trigger(arg_name="e")\ndef on(e: dict): ...\n',
            "function 'on': parameter 'e' is annotated dict, which a eventGridTrigger does not give",
        ),
        (
            '@app.route(route="a")\ndef web(req: func.HttpRequest) -> dict: ...\n',
            "function 'web': the return value is annotated",
        ),
        (
            '@app.route(route="a")\ndef web(req: func.HttpRequest, context: int) -> str: ...\n',
            "function 'web': parameter 'context' must be annotated azure.functions.Context",
        ),
        (ACTIVITY.format(annotation="") * 2, "Function act does not have a unique function name"),
        (ACTIVITY.format(annotation=": Nothing"), "function 'act': an annotation cannot be resolved"),
        (
            '@app.queue_trigger(arg_name="m", queue_name="q", connection="c")\ndef on(m: func.QueueMessage): ...\n',
            "function 'on': the local host has no queueTrigger",
        ),
        ("second = df.DFApp()\n", "exactly one function app object at its top level, it has 2"),
        ("del app\n", "exactly one function app object at its top level, it has 0"),
    ],
)
def test_the_app_is_refused_as_a_whole(source: str, text: str, tmp_path: Path) -> None:
    quoted = source.replace(": Nothing", ': "Nothing"')
    with pytest.raises(AppError, match=text):
        load_app(write_app(tmp_path, quoted))


def test_a_directory_without_an_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"function_app\.py does not exist"):
        load_app(tmp_path)


def test_a_second_load_gives_the_same_app_because_it_can_be_indexed_only_once(tmp_path: Path) -> None:
    write_app(tmp_path, ACTIVITY.format(annotation=""))
    assert load_app(tmp_path) is load_app(tmp_path)


def test_aliases_are_durable_names(tmp_path: Path) -> None:
    source = '@app.activity_trigger(input_name="x", activity="Alias")\ndef act(x): ...\n'
    app = load_app(write_app(tmp_path, source))
    assert app.has_activity("alias")
    assert not app.has_activity("act")


@pytest.mark.parametrize("route", ["a/{b:regex(^x)}", "a/{b:strange}", "a{b}c"])
async def test_a_route_that_the_host_cannot_read_is_refused(route: str, tmp_path: Path) -> None:
    source = f'@app.route(route="{route}")\ndef web(req: func.HttpRequest) -> str: ...\n'
    with pytest.raises(AppError, match="function 'web': the local host"):
        async with host_of(write_app(tmp_path, source)):
            pass
