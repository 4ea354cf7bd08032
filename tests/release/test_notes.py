"""A release says what its section of the changelog says, and there is none without such a section."""

from __future__ import annotations

import pytest

from release.notes import NoNotes, notes

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-20

### Added

- Rings.

## [1.1.0] - 2026-10-01

- Old.
"""


def test_a_tag_gets_its_own_section_and_no_more() -> None:
    assert notes(CHANGELOG, "v1.2.0") == "### Added\n\n- Rings.\n"


def test_the_last_section_ends_with_the_file() -> None:
    assert notes(CHANGELOG, "v1.1.0") == "- Old.\n"


def test_a_tag_without_a_section_is_refused() -> None:
    with pytest.raises(NoNotes, match=r"no section \[1\.3\.0\]"):
        notes(CHANGELOG, "v1.3.0")


def test_a_dot_in_a_version_is_a_dot() -> None:
    with pytest.raises(NoNotes):
        notes(CHANGELOG, "v1x2.0")


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(NoNotes, match="is empty"):
        notes(CHANGELOG, "vUnreleased")
