"""`python3 dev.py package`: builds the deployable zip and, with --prove, starts it in an environment of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from release.package import build
from release.proof import NotStarted, install, start, unpack

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Write the zip and say what it is; return 1 when it cannot be written or does not start."""
    options = argparse.ArgumentParser(prog="python3 dev.py package", description="Build the zip that is deployed.")
    options.add_argument("--output", type=Path, default=ROOT / "build" / "goldroll.zip", help="where to (%(default)s)")
    options.add_argument(
        "--prove", action="store_true", help="install only its requirements in a new environment, and start it there"
    )
    chosen = options.parse_args(arguments)
    try:
        package = build(ROOT, chosen.output)
        print(f"{package.path}: {len(package.files)} files, {package.size / 1024:.0f} kB, sha256 {package.sha256}")
        if chosen.prove:
            with tempfile.TemporaryDirectory(prefix="goldroll-") as folder:
                app = unpack(package.path, Path(folder) / "app")
                python = install(app, Path(folder) / "environment")
                start(app, python)  # the first start compiles; in Azure that happens once for each deployment
                again = start(app, python)
            print(f"starts: {len(again.functions)} functions, {again.seconds:.2f} s to import and list them")
    except (OSError, NotStarted) as error:
        print(f"the package cannot be made or does not start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
