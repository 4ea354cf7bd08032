"""Loads a Functions app as the Python worker does: one app object, indexed once, every function checked beforehand."""

import importlib.util
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions import meta

_SCRIPT = "function_app.py"
_MODULE = "function_app"


class AppError(Exception):
    """The real worker would refuse this app; the message names the function and the parameter."""


@dataclass(frozen=True, slots=True)
class Function:
    """An indexed function. bindings and trigger: the JSON that the worker would send to the host."""

    name: str
    handler: Callable[..., Any]
    bindings: tuple[dict[str, Any], ...]
    trigger: dict[str, Any]
    annotations: Mapping[str, Any]
    parameters: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The trigger's type, such as activityTrigger."""
        return str(self.trigger["type"])

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop."""
        return inspect.iscoroutinefunction(self.handler)

    @property
    def durable_name(self) -> str:
        """The name by which orchestrations call it."""
        key = _DURABLE_NAME.get(self.kind)
        return str((key and self.trigger.get(key)) or self.name)

    def binding_type(self, parameter: str) -> str | None:
        """The type of the binding of a parameter, or of $return; None when there is none."""
        return next((str(binding["type"]) for binding in self.bindings if binding["name"] == parameter), None)


class App:
    """The functions of one app; durable names are found without regard to case."""

    def __init__(self, directory: Path, functions: tuple[Function, ...]) -> None:
        """directory: where function_app.py and host.json are."""
        self.directory = directory
        self.functions = {function.name: function for function in functions}
        self._durable = {(function.kind, function.durable_name.lower()): function for function in functions}

    def of_kind(self, trigger: str) -> list[Function]:
        """Functions with this type of trigger, in the order of registration."""
        return [function for function in self.functions.values() if function.kind == trigger]

    def activity(self, name: str) -> Function | None:
        """The activity of that durable name."""
        return self._durable.get(("activityTrigger", name.lower()))

    def orchestrator(self, name: str) -> Function | None:
        """The orchestrator of that durable name."""
        return self._durable.get(("orchestrationTrigger", name.lower()))

    def entity(self, name: str) -> Function | None:
        """The entity of that durable name."""
        return self._durable.get(("entityTrigger", name.lower()))

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of that durable name."""
        return self.activity(name) is not None

    def has_orchestrator(self, name: str) -> bool:
        """Whether there is an orchestrator of that durable name."""
        return self.orchestrator(name) is not None

    def has_entity(self, name: str) -> bool:
        """Whether there is an entity of that durable name."""
        return self.entity(name) is not None


def load_app(directory: Path) -> App:
    """Import function_app.py of the directory and index it; AppError for whatever the real worker refuses.

    An app object can be indexed only once, and its modules hold state, so a second load in the same process of an
    unchanged file returns the first result.
    """
    script = (directory / _SCRIPT).resolve()
    if not script.is_file():
        raise AppError(f"{script} does not exist")
    key = (script, script.stat().st_mtime_ns)
    if key not in _loaded:
        module = _import(script)
        _loaded[key] = (App(script.parent, _index(module)), module)
    app, module = _loaded[key]
    sys.modules[_MODULE] = module
    return app


def _import(script: Path) -> types.ModuleType:
    # The worker puts the app's directory first, so that the app's packages are found.
    if str(script.parent) not in sys.path:
        sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(_MODULE, script)
    if spec is None or spec.loader is None:
        raise AppError(f"{script} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _index(module: types.ModuleType) -> tuple[Function, ...]:
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise AppError(f"{_SCRIPT} must have exactly one function app object at its top level, it has {len(apps)}")
    try:
        functions = apps[0].get_functions()
    except ValueError as error:
        raise AppError(str(error)) from error
    return tuple(_checked(function) for function in functions)


def _checked(function: Any) -> Function:
    name = str(function.get_function_name())
    handler = function.get_user_function()
    bindings = tuple(json.loads(text) for text in function.get_raw_bindings())
    trigger = next(binding for binding in bindings if binding["type"].lower().endswith("trigger"))
    parameters = tuple(inspect.signature(handler).parameters)
    try:
        annotations = typing.get_type_hints(handler)
    except (NameError, TypeError) as error:
        raise AppError(f"function '{name}': an annotation cannot be resolved: {error}") from error
    indexed = Function(name, handler, bindings, trigger, annotations, parameters)
    _check_bindings(indexed)
    _check_names(indexed)
    _check_context(indexed)
    for parameter in parameters:
        if parameter in annotations and indexed.binding_type(parameter) is not None:
            _check_annotation(indexed, parameter)
    _check_return(indexed)
    return indexed


def _check_bindings(function: Function) -> None:
    for binding in function.bindings:
        if binding["type"] not in _SERVED:
            raise AppError(f"function '{function.name}': the local host has no {binding['type']}")


def _check_names(function: Function) -> None:
    bound = {binding["name"] for binding in function.bindings} - {"$return"}
    named = set(function.parameters)
    if function.kind in ("orchestrationTrigger", "entityTrigger") and bound != {"context"}:
        wrong = ", ".join(f"'{name}'" for name in sorted(bound))
        raise AppError(
            f"function '{function.name}': context_name must be 'context' (the SDK's wrapper has it so), not {wrong}"
        )
    for parameter in sorted(named - bound - {"context"}):
        raise AppError(f"function '{function.name}': parameter '{parameter}' has no binding")
    for parameter in sorted(bound - named):
        raise AppError(f"function '{function.name}': binding '{parameter}' has no parameter of that name")


def _check_context(function: Function) -> None:
    annotation = function.annotations.get("context", func.Context)
    if "context" not in function.parameters or function.binding_type("context") is not None:
        return
    if not (isinstance(annotation, type) and issubclass(func.Context, annotation)):
        raise AppError(f"function '{function.name}': parameter 'context' must be annotated azure.functions.Context")


def _check_annotation(function: Function, parameter: str) -> None:
    annotation = function.annotations[parameter]
    binding = str(function.binding_type(parameter))
    if not _is_plain_type(annotation):
        raise AppError(
            f"function '{function.name}': parameter '{parameter}' is annotated {annotation!r}, which is not a class; "
            "the worker takes a class, or List, Dict, Mapping of the typing module, but no list[...], X | None, Union"
        )
    if not isinstance(annotation, type) or annotation in (str, bytes):
        return
    if not _accepts(_converter(binding).check_input_type_annotation, annotation):
        raise AppError(
            f"function '{function.name}': parameter '{parameter}' is annotated {annotation.__name__}, "
            f"which a {binding} does not give"
        )


def _check_return(function: Function) -> None:
    annotation = function.annotations.get("return")
    binding = function.binding_type("$return")
    if annotation in (None, type(None), str, bytes) or binding is None:
        return
    if not _accepts(_converter(binding).check_output_type_annotation, annotation):
        raise AppError(
            f"function '{function.name}': the return value is annotated {annotation!r}, which {binding} does not take"
        )


def _accepts(check: Callable[[Any], bool], annotation: Any) -> bool:
    try:
        return bool(check(annotation))
    except TypeError:  # issubclass() of something that is no class
        return False


def _is_plain_type(annotation: Any) -> bool:
    """Whether the worker takes it: a class, or a generic of the typing module, but no Union, Optional or Literal."""
    if isinstance(annotation, types.GenericAlias | types.UnionType):
        return False
    if isinstance(annotation, type) or annotation is Any:
        return True
    return isinstance(typing.get_origin(annotation), type) or typing.get_origin(annotation) is typing.Annotated


def _converter(binding: str) -> Any:
    return meta.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]


_SERVED = (
    "httpTrigger",
    "http",
    "timerTrigger",
    "eventGridTrigger",
    "orchestrationTrigger",
    "activityTrigger",
    "entityTrigger",
    "durableClient",
)
_DURABLE_NAME = {"activityTrigger": "activity", "orchestrationTrigger": "orchestration", "entityTrigger": "entityName"}
_loaded: dict[tuple[Path, int], tuple[App, types.ModuleType]] = {}
