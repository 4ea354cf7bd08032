"""What a release says of itself: the section of CHANGELOG.md that carries its tag's version."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class NoNotes(ValueError):
    """The changelog has no section for the version, or an empty one; the text says which."""


def notes(changelog: str, tag: str) -> str:
    """The text below the heading "## [1.2.0] - date" for tag "v1.2.0", up to the next such heading. Raises NoNotes."""
    version = tag.removeprefix("v")
    found = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise NoNotes(f"CHANGELOG.md has no section [{version}]: rename [Unreleased] before the tag {tag} is pushed")
    if not found[1].strip():
        raise NoNotes(f"the section [{version}] of CHANGELOG.md is empty")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text("utf-8"), sys.argv[1]))
    except NoNotes as error:
        sys.exit(str(error))
