"""Runs functions as the Python worker does: the SDK's types in, its converters out, errors in the worker's words."""

import asyncio
import contextvars
import functools
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions import meta

from localhost.app import Function

Datum = meta.Datum


class FunctionFailed(Exception):
    """The function raised. text: "ValueError: message"; stack: the traceback."""

    def __init__(self, text: str, stack: str) -> None:
        """See the class."""
        super().__init__(text)
        self.text = text
        self.stack = stack


class Worker:
    """Invokes functions.

    threads None: synchronous functions run at once on the event loop, so that runs repeat exactly (virtual time).
    Otherwise they run in a pool of that many threads, as in the real worker.
    """

    def __init__(self, directory: Path, client_binding: Callable[[], str], threads: int | None) -> None:
        """client_binding: gives the JSON text of the durableClient binding."""
        self._directory = directory
        self._client_binding = client_binding
        self._pool = ThreadPoolExecutor(threads, "function") if threads else None

    def close(self) -> None:
        """Let running threads go on, start none."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, function: Function, data: Datum, invocation_id: str = "") -> Datum | None:
        """Run a function with its trigger's datum; the datum of its return value, or None. Raises FunctionFailed."""
        try:
            arguments = self._arguments(function, data, invocation_id)
            if function.is_async:
                value = await function.handler(**arguments)
            elif self._pool is None:
                value = function.handler(**arguments)
            else:
                call = functools.partial(contextvars.copy_context().run, function.handler, **arguments)
                value = await asyncio.get_running_loop().run_in_executor(self._pool, call)
            encoded: Datum | None = _encode(function, value)
        except Exception as error:
            raise _failure(error) from error
        return encoded

    def invoke_now(self, function: Function, data: Datum) -> str:
        """Run an orchestrator or entity on this thread; its answer as JSON text. Raises FunctionFailed."""
        try:
            return str(function.handler(**self._arguments(function, data, "")))
        except Exception as error:
            raise _failure(error) from error

    def _arguments(self, function: Function, data: Datum, invocation_id: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for parameter in function.parameters:
            binding = function.binding_type(parameter)
            if binding is None:
                arguments[parameter] = _Context(function.name, invocation_id, str(self._directory))
            elif binding == "durableClient":
                arguments[parameter] = self._client_binding()
            else:
                arguments[parameter] = _decode(binding, function.annotations.get(parameter), data)
        return arguments


def _decode(binding: str, annotation: Any, data: Datum) -> Any:
    converter = _registry().get(binding)
    # Annotated str a parameter gets the text as it is, except for durable triggers, whose converters see to it.
    if annotation in (str, bytes) and not converter.has_implicit_output():
        if not isinstance(data.value, str):
            raise ValueError(f"a {binding} cannot be taken as {annotation.__name__}")
        return data.value if annotation is str else data.value.encode()
    return converter.decode(data, trigger_metadata={})


def _encode(function: Function, value: Any) -> Any:
    binding = function.binding_type("$return")
    if binding is None:
        converter = _registry().get(function.kind)
        if converter and converter.has_implicit_output():
            return converter.encode(value, expected_type=None)
        if value is not None:
            raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
        return None
    return None if value is None else _registry().get(binding).encode(value, expected_type=None)


def _failure(error: Exception) -> FunctionFailed:
    stack = "".join(traceback.format_exception(error))
    return FunctionFailed(f"{type(error).__name__}: {error}", stack)


def _registry() -> Any:
    return meta.get_binding_registry()  # type: ignore[no-untyped-call]


class _Context(func.Context):
    """What a parameter named context gets when no binding has that name."""

    def __init__(self, function_name: str, invocation_id: str, directory: str) -> None:
        self._function_name = function_name
        self._invocation_id = invocation_id
        self._directory = directory
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return self._local

    @property
    def function_name(self) -> str:
        return self._function_name

    @property
    def function_directory(self) -> str:
        return self._directory

    @property
    def trace_context(self) -> Any:
        return None

    @property
    def retry_context(self) -> Any:
        return None


def http_datum(
    method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], route: Mapping[str, str], body: bytes
) -> Datum:
    """The trigger datum of an HTTP request. route: the values of the route's parameters."""

    def strings(values: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(type="string", value=value) for name, value in values.items()}

    return Datum(
        type="http",
        value={
            "method": Datum(type="string", value=method),
            "url": Datum(type="string", value=url),
            "headers": strings(headers),
            "query": strings(query),
            "params": strings(route),
            "body": Datum(type="bytes", value=body),
        },
    )
