"""The deployable zip: of what belongs to the app, what .funcignore leaves over.

The Functions tools and azd read .funcignore as well, and know no list of what belongs: a stray file beside the app
would go along with them.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from pathspec import GitIgnoreSpec

APP = frozenset(
    {
        "activities",
        "adapters",
        "dashboard",
        "entities",
        "forecast",
        "function_app.py",
        "goldroll.yaml",
        "host.json",
        "orchestrators",
        "requirements.txt",
        "rollout",
        "triggers",
    }
)
"""What is deployed of a checkout's root; a saved plan or a policy that somebody tries out may lie there as well."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip, the oldest it can hold: the same commit gives the same bytes."""


class Package(Struct, frozen=True):
    """A zip that was written: its place, size in bytes, SHA-256 in hex and the paths in it."""

    path: Path
    size: int
    sha256: str
    files: tuple[str, ...]


def files_of(root: Path) -> Iterator[str]:
    """Paths below `root` that are deployed, with forward slashes, sorted. Links are not followed."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text("utf-8").splitlines())
    yield from sorted(name for name in _walk(root, root, ignored) if name.partition("/")[0] in APP)


def build(root: Path, target: Path) -> Package:
    """Write the zip of the tree at `root` to `target`, making folders as needed and replacing an older zip.

    Azure installs requirements.txt beside the app (a remote build), so no library is in the zip. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    files = tuple(files_of(root))
    part = target.with_name(target.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is built: the rights below mean nothing elsewhere
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, (root / name).read_bytes())
    part.replace(target)
    content = target.read_bytes()
    return Package(target, len(content), hashlib.sha256(content).hexdigest(), files)


def _walk(folder: Path, root: Path, ignored: GitIgnoreSpec) -> Iterator[str]:
    for entry in folder.iterdir():
        name = entry.relative_to(root).as_posix()
        if entry.is_symlink() or ignored.match_file(name):
            continue
        if entry.is_dir():
            yield from _walk(entry, root, ignored)
        else:
            yield name
