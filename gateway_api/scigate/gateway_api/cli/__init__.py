"""The command line: ``scigate``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    from .app import run

    sys.exit(run(sys.argv[1:]))
