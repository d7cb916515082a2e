"""The command line as a process of its own, as people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "from scigate.gateway_api.cli import main; main()"]


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The JSON documents on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def scigate(gateway_process: Any, tmp_path: Path) -> Run:
    """``scigate("ls", "lab:/")`` runs that as ada, in a folder of its own; ``env`` changes the environment."""

    def run(*words: str | Path, env: dict[str, str] | None = None, user: str | None = "ada", input: str = "") -> Ran:
        environment = gateway_process.environment(user) | {"HOME": str(tmp_path)} | (env or {})
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            env=environment,
            cwd=tmp_path,
            input=input.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        assert "Traceback" not in err or "--debug" in words
        return Ran(done.returncode, out, err)

    return run
