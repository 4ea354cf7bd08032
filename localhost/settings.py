"""App settings: local.settings.json and the caller's own, environment variables for the app while the host runs."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from localhost.app import AppError

_FILE = "local.settings.json"


class AppSettings:
    """Puts settings into os.environ on entering and takes them out again on leaving.

    The caller's settings win over the environment, the environment over local.settings.json.
    """

    def __init__(self, directory: Path, own: Mapping[str, str] | None) -> None:
        """directory: where local.settings.json may be; own: the caller's."""
        self._own = dict(own or {})
        self._file = _read(directory / _FILE)
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        """See the class."""
        added = {name: value for name, value in self._file.items() if name not in os.environ}
        for name, value in (added | self._own).items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See the class."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig")).get("Values", {})
        return {str(name): str(value) for name, value in values.items()}
    except (ValueError, AttributeError) as error:
        raise AppError(f"{path} is not a settings file: {error}") from error
