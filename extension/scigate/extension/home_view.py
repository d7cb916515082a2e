"""How a fetch to the files of this server looks to who asks: like any transfer of the API."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from scigate.gateway_api.client import GatewayError, RequestRefused, Transfer

from .home_records import Promise
from .problem import Refusal

KEPT_FOR = timedelta(days=1)


class Progress:
    """How far it is; thread-safe. Of what has not ended it begins anew with the process."""

    def __init__(self, promise: Promise) -> None:
        self._lock = threading.Lock()
        self.listing = True
        self.total, self.done, self.bytes_total, self.bytes_done = promise.arrived

    @property
    def arrived(self) -> tuple[int, int, int, int]:
        return self.total, self.done, self.bytes_total, self.bytes_done

    def expect(self, files: list[tuple[str, str, int]], there: set[str]) -> None:
        """So much is to come; ``there`` is what has come before."""
        with self._lock:
            self.listing = False
            self.total, self.bytes_total = len(files), sum(size for _, _, size in files)
            came = [size for _, target, size in files if target in there]
            self.done, self.bytes_done = len(came), sum(came)

    def one_more(self) -> None:
        with self._lock:
            self.done += 1

    def moved(self, count: int) -> None:
        with self._lock:
            self.bytes_done += count


def as_transfer(promise: Promise, progress: Progress, owner: str) -> dict[str, Any]:
    """The members of ``Transfer``; those that say nothing here are null."""
    over = promise.finished is not None
    cause = promise.cause if promise.state != "DONE" else None
    waiting = not over and cause is not None
    left = max(0, progress.total - progress.done - promise.failed)
    counts = {
        "total": progress.total, "queued": 0, "active": 0 if over or waiting else left,
        "waiting": left if waiting else 0, "paused": 0, "done": progress.done, "skipped": 0,
        "failed": promise.failed, "cancelled": left if promise.state == "CANCELLED" else 0,
    }  # fmt: skip
    known = {
        "id": promise.id, "owner": owner, "label": promise.label, "state": "WAITING" if waiting else promise.state,
        "overwrite": promise.overwrite, "verify": "auto", "priority": 5, "created": _time(promise.created),
        "finished": _time(promise.finished), "deadline": _time(promise.created + KEPT_FOR.total_seconds()),
        "listing": progress.listing and not over, "files": counts, "bytes_total": progress.bytes_total,
        "bytes_done": progress.bytes_done, "cause": cause,
    }  # fmt: skip
    return dict.fromkeys(Transfer.model_fields) | known


def cause_of(error: Exception) -> dict[str, Any]:
    """Why something failed or waits, as the API says it."""
    if isinstance(error, Refusal):
        code, retriable, next_step = error.code, error.retriable, error.next_step
    elif isinstance(error, RequestRefused):
        code, retriable, next_step = error.code or "refused", error.retriable, error.next_step
    elif isinstance(error, GatewayError):
        code, retriable, next_step = "unreachable", True, error.next_step
    else:
        code, retriable, next_step = "local-file", False, "Look at the disk of this server."
    message = error.message if isinstance(error, GatewayError) else str(error)
    return {"code": code, "message": message, "retriable": retriable, "next_step": next_step}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
