"""A storage that hangs holds up neither the start of a gateway nor its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import pytest
from scigate.gateway_api.db.schema import draft, file
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers import engine as module
from scigate.storage_backends.backend import Backend, Entry
from scigate.storage_backends.errors import Unreachable
from scigate.storage_backends.layers import Layer
from sqlalchemy import Connection, func, insert, select

from .conftest import Lab

T = TypeVar("T")
PROMPT = 90.0  # seconds; it would take three minutes and more


class Hanging(Layer):
    """Removes no draft and lists no folder: it says so at once, or only when ``answers``."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.answers, self.asked, self.is_down = threading.Event(), list[str](), True
        self.answers.set()

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        if operation == "abandon":
            self._hang(path)
        return run()

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        self._hang(prefix)
        return start()

    def _hang(self, path: str) -> None:
        self.asked.append(path)
        self.answers.wait(180)
        if self.is_down:
            raise Unreachable("it does not answer")


@pytest.fixture
def out(lab: Lab) -> Iterator[Hanging]:
    """Where the drafts of three files that have failed could not be removed."""
    lab.posix("lab")
    lab.posix("out")
    found = Hanging(lab.backends["out"])
    lab.add("out", found)
    lab.start(reconcile_every=60)
    done = lab.run(*[("lab:/nothing", f"out:/{number}") for number in range(3)])
    assert done.state is TransferState.FAILED
    lab.stop()
    lab.database.write(_leave_drafts)
    yield found
    found.answers.set()


def _leave_drafts(connection: Connection) -> None:
    left = {"epoch": 1, "storage": "out", "created": time.time()}
    for seq, path in connection.execute(select(file.c.seq, file.c.destination_path)).all():
        its = {"file": seq, "key": f"{seq}-1", "path": path}
        connection.execute(insert(draft), left | its)


def drafts(lab: Lab) -> int:
    with lab.database.read() as connection:
        return connection.execute(select(func.count()).select_from(draft)).scalar_one()


def test_a_storage_that_does_not_answer_is_asked_once_in_a_round(lab: Lab, out: Hanging) -> None:
    engine = lab.start(reconcile_every=60)
    lab.until(engine._cleared.is_set)  # the start waits for that, but not for long
    assert len(set(out.asked)) == 1, "each question may take minutes"
    lab.stop()
    out.is_down = False
    lab.start(reconcile_every=60)
    lab.until(lambda: drafts(lab) == 0)


def test_a_gateway_starts_and_stops_while_a_storage_hangs(
    lab: Lab, out: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", timedelta(seconds=0.2))
    (lab.folder / "lab" / "f").write_text("f")
    out.answers.clear()
    begun = time.monotonic()
    lab.start(reconcile_every=60)
    assert lab.run(("lab:/f", "lab:/g")).state is TransferState.DONE
    listed = lab.submit(("out:/", "lab:/copies/"))
    lab.until(lambda: "" in out.asked)
    lab.stop()
    assert time.monotonic() - begun < PROMPT
    out.is_down = False
    out.answers.set()
    lab.start(reconcile_every=60)
    assert lab.wait(listed).state is TransferState.DONE
    lab.until(lambda: drafts(lab) == 0)
