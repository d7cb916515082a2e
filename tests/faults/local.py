"""Fixtures of local faults: gateways that a test starts and ends itself, and mounted file systems."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from .mounts import Mounts
from .stand import Program, Stand


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and rests as ever, only sooner; for gateways in this process. How often a full storage is tried is as
    long as ever, too: the usual number of tries would be over within seconds."""
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.SPACE_TRIES", 100_000)
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.FIRST_DELAY", 0.1)
    monkeypatch.setattr("scigate.gateway_api.transfers.machine.LONGEST_DELAY", 0.5)
    monkeypatch.setattr("scigate.gateway_api.transfers.scheduler.FIRST_REST", 0.2)
    monkeypatch.setattr("scigate.gateway_api.transfers.scheduler.LONGEST_REST", 0.5)
    monkeypatch.setattr("scigate.gateway_api.transfers.engine.TICK", 0.05)


@pytest.fixture
def stand(tmp_path: Path, quick: None) -> Iterator[Callable[..., Stand]]:
    """``stand(**settings)``: a gateway in this process on folders of its own, not started yet; see ``Stand``."""
    yield from _made(tmp_path, Stand)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """The same as a process of its own; see ``Program``."""
    yield from _made(tmp_path, Program)


def _made(folder: Path, kind: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    with ExitStack() as stack:

        def make(**options: Any) -> Any:
            made = kind(options.pop("folder", None) or folder / f"stand-{secrets.token_hex(3)}", **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def mounts(tmp_path: Path, require: Callable[[str], Path]) -> Iterator[Mounts]:
    """Small, frail and faulty file systems; skips where they cannot be mounted."""
    mounts = Mounts(tmp_path / "mounts", require)
    try:
        mounts.require()
        yield mounts
    finally:
        mounts.close()
