"""A file that is tried again in the moment in which it has failed: what the failed attempt clears up is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scigate.gateway_api.resources import FileState, TransferState
from scigate.gateway_api.transfers.executors.local import LocalExecutor
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import Backend, Buffer, MiB
from scigate.storage_backends.errors import AccessDenied
from scigate.storage_backends.layers import Layer

Lab = Any  # from conftest.py
SIZE = 9 * MiB


class RefusesOnce(Layer):
    """The first reading is refused when its draft is there; a later one waits for ``go_on``."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.readings, self.again, self.go_on = 0, threading.Event(), threading.Event()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        self.readings += 1
        if self.readings == 1:
            raise AccessDenied("it is refused")
        self.again.set()
        while not self.go_on.wait(0.02):
            yield b""  # slow, not silent
        yield from start()


def test_drafts_of_the_next_attempt_stay(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    discard, go, over = LocalExecutor._discard_drafts, threading.Event(), threading.Event()

    def late(self: LocalExecutor, *arguments: Any) -> bool:
        assert go.wait(120)
        try:
            return discard(self, *arguments)
        finally:
            over.set()

    monkeypatch.setattr(LocalExecutor, "_discard_drafts", late)
    (lab.posix("lab") / "f").write_bytes(b"x" * SIZE)
    source = RefusesOnce(lab.backends["lab"])
    lab.add("lab", source)
    out = lab.posix("out")
    lab.start(reconcile_every=600)
    transfer = lab.submit(("lab:/f", "out:/f"))
    lab.file_in(transfer, FileState.FAILED)
    lab.store.ask(transfer, None, Wish.RETRY)
    assert source.again.wait(120)
    go.set()
    assert over.wait(120)
    source.go_on.set()
    assert lab.wait(transfer).state is TransferState.DONE, lab.tell(transfer)
    assert lab.types(transfer).count("failure") == 1, lab.tell(transfer)
    assert [path.name for path in out.iterdir()] == ["f"]
