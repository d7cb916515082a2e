"""A mistake of ours, or of a plug-in, in a thread that moves files: it ends an attempt, never the gateway."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from scigate.gateway_api.transfers import batch, copying
from scigate.gateway_api.transfers.executors import local

from .stand import Stand, until

MiB = 1 << 20
SMALL, LARGE = 1000, 9 * MiB
LONG = pytest.mark.long


def sizes(usual: int) -> pytest.MarkDecorator:
    """Small and large, one of them in a usual run."""
    given = [pytest.param(size, marks=[LONG] * (size != usual)) for size in (SMALL, LARGE)]
    return pytest.mark.parametrize("size", given, ids=["small", "large"])


Make = Callable[..., Stand]


class Mistake(Exception):
    """What no code expects."""


class Crash:
    """Stands for a function of the product: it raises ``error`` the first ``times`` times that it is about ``name``."""

    def __init__(self, real: Callable[..., Any], error: type[BaseException], times: int, name: str = "") -> None:
        self._real, self._error, self.left, self._name = real, error, times, name
        self._lock = threading.Lock()

    def __call__(self, *given: Any) -> Any:
        with self._lock:
            due = self.left > 0 and self._name in repr(given)
            self.left -= due
        if due:
            raise self._error
        return self._real(*given)


def filled(stand: Make, size: int) -> Stand:
    made = stand().start()
    for name in ("ill", "well", "good"):
        (made.root("lab") / name).write_bytes(os.urandom(size))
    return made


def crash(patch: pytest.MonkeyPatch, size: int, error: type[BaseException], times: int, name: str = "") -> Crash:
    """In the place where the bytes of a file of this size pass."""
    module, function = (copying, "watched") if size == LARGE else (batch, "watched")
    made = Crash(getattr(module, function), error, times, name)
    patch.setattr(module, function, made)
    return made


@sizes(LARGE)
def test_a_mistake_is_told_as_such_and_tried_again(stand: Make, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    began, made = time.monotonic(), filled(stand, size)
    crash(monkeypatch, size, Mistake, 1)
    transfer = made.submit(("lab:/ill", "out:/ill"))
    assert made.wait(transfer)["state"] == "DONE"
    assert made.events(transfer).count("failure") == 1
    told = made.client().get(f"{transfer}/events?limit=1000").text
    assert "SciGate made a mistake (Mistake)" in told
    made.settle("faults.process", began, fault="exception in a mover")


@sizes(SMALL)
def test_a_file_that_is_always_a_mistake_fails_alone(stand: Make, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    began, made = time.monotonic(), filled(stand, size)
    crash(monkeypatch, size, Mistake, 1000, "ill")
    transfer = made.submit(*[(f"lab:/{name}", f"out:/{name}") for name in ("ill", "well", "good")])
    assert made.wait(transfer)["state"] == "FAILED"
    ended = {file["source"]: (file["state"], (file["cause"] or {}).get("code")) for file in made.files(transfer)}
    assert ended == {"lab:/ill": ("FAILED", "internal"), "lab:/well": ("DONE", None), "lab:/good": ("DONE", None)}
    monkeypatch.undo()
    made.ask(transfer, "retry")
    until(lambda: made.get(transfer)["state"] == "DONE", tell=lambda: made.tell(transfer))
    made.settle("faults.process", began, runs=3, fault="a poisonous file")


@pytest.mark.parametrize("where", [pytest.param("move_large", marks=LONG), "move_batch"])
def test_a_thread_that_dies_leaves_its_files_to_others(
    stand: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """What is no ``Exception`` ends a thread without a word: here, as a C library that calls exit() would."""
    began, made = time.monotonic(), filled(stand, LARGE if where == "move_large" else SMALL)
    died = Crash(getattr(local, where), SystemExit, 2)
    monkeypatch.setattr(local, where, died)
    transfer = made.submit(*[(f"lab:/{name}", f"out:/{name}") for name in ("ill", "well", "good")])
    assert made.wait(transfer)["state"] == "DONE"
    assert died.left == 0
    assert "lapse" in made.events(transfer)
    assert made.client().get("/readyz").status_code == 200
    made.settle("faults.process", began, runs=3, fault="a mover dies")


@sizes(LARGE)
def test_memory_that_runs_out_is_no_reason_to_fail(stand: Make, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However often: it is the machine's, not the file's."""
    began, made = time.monotonic(), filled(stand, size)
    crash(monkeypatch, size, MemoryError, 6)
    transfer = made.submit(("lab:/ill", "out:/ill"))
    assert made.wait(transfer)["state"] == "DONE"
    assert made.events(transfer).count("failure") >= 6
    assert "overloaded" in made.client().get(f"{transfer}/events?limit=1000").text
    made.settle("faults.process", began, fault="MemoryError in a mover")
