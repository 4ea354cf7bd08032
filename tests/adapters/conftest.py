"""Fixtures of the adapters' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.office import SimulatedOffice, simulated_office


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office of three hosts, without people."""
    with simulated_office() as office:
        yield office
