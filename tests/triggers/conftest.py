"""Fixtures of the triggers' tests: an office with a policy file, and no instances yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.office import SUBNET, SimulatedOffice, simulated_office
from tests.triggers.durable import Instances


class PolicyFile:
    """The office's policy file, for somebody to edit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str) -> None:
        """Put something else into it."""
        self._path.write_text(text, encoding="utf-8")

    def replace(self, old: str, new: str) -> None:
        """Change a part of it."""
        self.write(self._path.read_text(encoding="utf-8").replace(old, new))

    def delete(self) -> None:
        """Take it away."""
        self._path.unlink()


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office on version 1.0.0 with 2.0.0 published a moment ago."""
    with simulated_office() as office:
        office.wait(days=10)
        office.office.publish_replicated("2.0.0")
        yield office


@pytest.fixture
def instances() -> Instances:
    """Nothing has been started yet."""
    return Instances()


@pytest.fixture(autouse=True)
def policy_file(office: SimulatedOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PolicyFile:
    """The office's policy file, which the settings point to."""
    file = tmp_path / "goldroll.yaml"
    file.write_text(
        f"""
images:
  - name: win11
    definition_id: {office.office.definition_id}
  - name: unused
    definition_id: {office.office.definition_id}-other
host_pools:
  - name: office
    host_pool_id: {office.pool_id}
    image: win11
    session_host:
      name_prefix: avd
      subnet_id: {SUBNET}
      join: {{type: entra}}
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("GOLDROLL_POLICY", str(file))
    return PolicyFile(file)
