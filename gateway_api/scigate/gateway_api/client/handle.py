"""A submitted transfer, and several of them, as objects: look, wait, steer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape
from itertools import islice
from typing import Any, Final, TypeVar

from ..resources import Cause, Event, FileState, Page, Resource, Transfer, TransferFile, TransferState
from .errors import (
    SHOWN,
    FilesNotSent,
    GatewayFailed,
    GatewayUnreachable,
    TransferCancelled,
    TransferFailed,
    WaitTimeout,
)
from .progress import Watcher, watching
from .session import Session, parse

FIRST_PAUSE: Final = 0.01  # seconds between two looks at a transfer, growing to LONGEST_PAUSE
LOOK: Final = timedelta(seconds=10)  # for an answer that costs the gateway nothing
LONGEST_PAUSE: Final = 1.0
OUTAGE: Final = timedelta(minutes=5)  # how long ``wait`` bears a gateway that does not answer, e.g. restarting
AWAY: Final = "gateway-away"
_ORDER: Final = sorted(
    TransferState, key=lambda s: (s.is_final, s is not TransferState.FAILED, s is TransferState.DONE)
)
"""Of several transfers the first of these states is that of all: what is not over, then what did not end well."""
R = TypeVar("R", bound=Resource)


def pages(session: Session, kind: type[R], path: str, **params: Any) -> Iterator[R]:
    """Every item of a list, page by page."""
    after = params.pop("after", None)
    while True:
        page: Page[R] = session.read(Page[kind], path, {**params, "after": after})  # type: ignore[valid-type]
        yield from page.items
        if page.next is None:
            return
        after = page.next


class TransferHandle:
    """A transfer that the gateway has acknowledged. It goes on whether or not this object exists."""

    def __init__(self, session: Session, transfer: Transfer, *, replayed: bool = False) -> None:
        self._session = session
        self.transfer = transfer
        self.replayed = replayed

    @property
    def id(self) -> str:
        return self.transfer.id

    @property
    def state(self) -> TransferState:
        """As last seen; ``refresh`` looks again."""
        return self.transfer.state

    def refresh(self) -> Transfer:
        """Ask the gateway for the present state."""
        self.transfer = self._session.read(Transfer, f"transfers/{self.id}", timeout=LOOK)
        return self.transfer

    def wait(self, timeout: timedelta | float | None = None, *, progress: bool | Watcher = True) -> Transfer:
        """Wait until it has ended, and return it.

        ``timeout``: seconds or a timedelta. ``progress``: True shows it, a callable gets every new state.
        Raises ``TransferFailed`` with the causes, ``TransferCancelled``, or ``WaitTimeout`` (it goes on then).
        A gateway that does not answer, e.g. because it is restarted, is borne for five minutes.
        """
        deadline = _deadline(timeout)
        with watching(progress) as show:
            self._watch(show, deadline)
        return self._outcome()

    def files(self, state: FileState | None = None) -> Iterator[TransferFile]:
        """Its files, all or those in one state."""
        return pages(self._session, TransferFile, f"transfers/{self.id}/files", state=state)

    def events(self, after: str | int | None = None) -> Iterator[Event]:
        """Its journal, oldest first; from behind the event with the id ``after``."""
        return pages(self._session, Event, f"transfers/{self.id}/events", after=after)

    def pause(self) -> Transfer:
        """Stop at the next block; what is done stays done."""
        return self._ask("pause")

    def resume(self) -> Transfer:
        """Go on after a pause."""
        return self._ask("resume")

    def cancel(self) -> Transfer:
        """End it. Files that are done stay; what is half written is removed."""
        return self._ask("cancel")

    def retry(self) -> Transfer:
        """Try its failed and waiting files again, now."""
        return self._ask("retry")

    def _ask(self, wish: str) -> Transfer:
        # Asking twice for the same is harmless, so a lost answer may be asked for again.
        self.transfer = parse(Transfer, self._session.send("POST", f"transfers/{self.id}/{wish}", repeatable=True))
        return self.transfer

    def _watch(self, show: Watcher, deadline: float) -> None:
        pause, answered = FIRST_PAUSE, time.monotonic()
        show(self.transfer)
        while not self.state.is_final:
            if time.monotonic() + pause > deadline:
                raise WaitTimeout(f"Transfer {self.id} is {self.state} and has not ended in time.", self.transfer)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.3)
            seen = self._look()
            if seen is None and time.monotonic() - answered > OUTAGE.total_seconds():
                self.refresh()
            answered = answered if seen is None else time.monotonic()
            show(seen or away(self.transfer))

    def _look(self) -> Transfer | None:
        """The present state; None while the gateway, or the proxy before it, cannot say."""
        try:
            return self.refresh()
        except GatewayUnreachable:
            return None
        except GatewayFailed as error:
            if error.status in (502, 503, 504):
                return None
            raise

    def _outcome(self, dropped: int = 0) -> Transfer:
        """How it ended. That ``dropped`` files were cancelled is said elsewhere."""
        files = self.transfer.files
        if self.state is TransferState.FAILED or (dropped and files.failed):
            failed = self.files(FileState.FAILED)
            raise TransferFailed(self.transfer, list(islice(failed, SHOWN)))
        if self.state is TransferState.CANCELLED and (files.cancelled > dropped or not dropped):
            raise TransferCancelled(f"Transfer {self.id} was cancelled.", self.transfer)
        return self.transfer

    def __repr__(self) -> str:
        files = self.transfer.files
        label = f" {self.transfer.label!r}" if self.transfer.label else ""
        return f"<Transfer {self.id}{label} {self.state}: {files.done}/{files.total} files>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"

    def _rows(self) -> Iterator[tuple[str, str]]:
        seen = self.transfer
        yield "transfer", self.id + (f" ({seen.label})" if seen.label else "")
        yield "state", str(self.state)
        yield "files", f"{seen.files.done} of {seen.files.total} done, {seen.files.failed} failed"
        yield "bytes", f"{seen.bytes_done:,} of {seen.bytes_total:,}"
        if seen.proof:
            yield "proof", str(seen.proof)
        if seen.cause:
            yield "cause", f"{seen.cause.message} {seen.cause.next_step}"


@dataclass(frozen=True)
class TransferGroup(Sequence[TransferHandle]):
    """The transfers that one folder became; steered together.

    ``refused``: what was not sent, path → reason (links, pipes, devices, files that could not be read or changed
    meanwhile). ``dropped``: transfer → how many of its files were cancelled because of that.
    """

    handles: tuple[TransferHandle, ...]
    refused: dict[str, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Any:
        return self.handles[index]

    def __len__(self) -> int:
        return len(self.handles)

    def wait(self, timeout: timedelta | float | None = None, *, progress: bool | Watcher = True) -> list[Transfer]:
        """Wait for all of them; raises like ``TransferHandle.wait``, for the first that did not end well, and
        ``FilesNotSent`` when the rest is done but something was refused."""
        deadline = _deadline(timeout)
        with watching(progress) as show:
            for handle in self.handles:
                handle._watch(lambda seen: show(self._seen(seen)), deadline)
        ended = [handle._outcome(self.dropped.get(handle.id, 0)) for handle in self.handles]
        if self.refused:
            raise FilesNotSent(self.refused)
        return ended

    def _seen(self, one: Transfer) -> Transfer:
        whole = summary(self.handles)
        return away(whole) if one.cause and one.cause.code == AWAY else whole

    def pause(self) -> None:
        self._each(TransferHandle.pause)

    def resume(self) -> None:
        self._each(TransferHandle.resume)

    def cancel(self) -> None:
        self._each(TransferHandle.cancel)

    def retry(self) -> None:
        self._each(TransferHandle.retry)

    def _each(self, ask: Callable[[TransferHandle], object]) -> None:
        for handle in self.handles:
            ask(handle)


def summary(handles: Sequence[TransferHandle]) -> Transfer:
    """Several transfers seen as one, for showing progress."""
    seen = [handle.transfer for handle in handles]
    files = seen[0].files.model_copy(
        update={name: sum(getattr(t.files, name) for t in seen) for name in type(seen[0].files).model_fields}
    )
    update = {
        "files": files,
        "state": min((t.state for t in seen), key=_ORDER.index),
        "bytes_total": sum(t.bytes_total for t in seen),
        "bytes_done": sum(t.bytes_done for t in seen),
        "rate": sum(t.rate or 0 for t in seen) or None,
        "eta_seconds": None,
    }
    return seen[0].model_copy(update=update)


def away(last: Transfer) -> Transfer:
    """A transfer while nobody can say how it is: what was last known of it, without what is surely no longer so."""
    cause = Cause(code=AWAY, message="the gateway does not answer; trying again", retriable=True, next_step="")
    return last.model_copy(update={"rate": None, "eta_seconds": None, "cause": cause})


def _deadline(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return float("inf")
    return time.monotonic() + (timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)
