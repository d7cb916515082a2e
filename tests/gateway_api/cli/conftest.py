"""The command line, called as the ``scigate`` program calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.app import run


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


@pytest.fixture
def scigate(
    gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """``scigate("ls", "lab:/")`` runs that as ada, in a folder of its own; ``env`` changes the environment."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path, env: dict[str, str] | None = None, user: str | None = "ada") -> Ran:
        with monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith(("SCIGATE_", "XDG_"))]:
                patched.delenv(name)
            for name, value in (gateway_process.environment(user) | {"HOME": str(tmp_path)} | (env or {})).items():
                patched.setenv(name, value)
            capsys.readouterr()
            code = run([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err or "--debug" in words
        return Ran(code, captured.out, captured.err)

    return call
