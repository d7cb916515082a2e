"""Commands of ``scigate``, run in this process: a start of Python for each would cost a second."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

from scigate.gateway_api.cli.app import run


def said_by(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, bytes]:
    """The exit code, and all that was printed, of ``scigate`` with this environment in this folder.

    Not for ``serve``, which changes the process that it runs in.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(out)
    with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(folder), streams[0], streams[1]:
        code = run(words)
    out.flush()
    return code, out.buffer.getvalue()  # type: ignore[attr-defined]
