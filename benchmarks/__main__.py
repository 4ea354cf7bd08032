"""Runs the command, see commands.py."""

import sys

from benchmarks.commands import main

if __name__ == "__main__":
    sys.exit(main())
