"""The option that writes the golden stories anew: `python3 dev.py test tests/scenarios --update-golden`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`; pytest knows it when the command line names this folder."""
    parser.addoption("--update-golden", action="store_true", help="write the golden stories anew instead of comparing")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden stories are to be written."""
    return bool(request.config.getoption("--update-golden", default=False))
