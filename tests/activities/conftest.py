"""Fixtures of the activities' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.office import SimulatedOffice, simulated_office


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office of three hosts, without people."""
    with simulated_office() as office:
        office.office.publish_replicated("2.0.0")
        yield office


@pytest.fixture
def busy_office() -> Iterator[SimulatedOffice]:
    """An office of three hosts at eleven in the morning, with people at work."""
    with simulated_office(people=20) as office:
        office.wait(hours=4)
        yield office
