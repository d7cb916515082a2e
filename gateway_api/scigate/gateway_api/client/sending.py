"""Appending a file to an upload at the gateway until all of it is there: tus 1.0, https://tus.io/protocols/.

Every request carries the CRC-64/NVME of its bytes, so a flipped bit costs that request again. What broke off is asked
about (HEAD) and gone on with at the offset that the gateway has durably.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import quote

import httpx
from scigate.storage_backends.backend import MiB

from .errors import DataDamaged, GatewayUnreachable, RequestRefused
from .session import Session
from .upload import How, LocalFile

TUS: Final = {"Tus-Resumable": "1.0.0"}
SMALLEST, FIRST, LARGEST = MiB, 4 * MiB, 64 * MiB  # bytes of a request: what a cut costs at most
QUICK, SLOW = 1.0, 2.5  # seconds for a request: below the first the next is larger, above the second smaller
LONGEST_PAUSE: Final = 10.0  # seconds between two tries
STALLED: Final = timedelta(seconds=30)  # no byte moves: the connection is dead
DAMAGED_AT_MOST: Final = 3
CHECKSUM_MISMATCH: Final = 460
TEMPORARY: Final = frozenset({408, 423, 429, 502, 503, 504})
WRONG_OFFSET: Final = "offset-mismatch"
TOO_MUCH_AT_ONCE: Final = "request-too-large"
GONE: Final = frozenset({404, 410})


class Pace:
    """How large requests are: what can be sent in a second or two, as that is what a cut costs; after each cut smaller,
    so that some arrive whole."""

    def __init__(self) -> None:
        self.size, self._largest = FIRST, LARGEST

    def took(self, seconds: float) -> None:
        if seconds < QUICK:
            self.size = min(2 * self.size, self._largest)
        elif seconds > SLOW:
            self.broke()

    def broke(self) -> None:
        self.size = max(self.size // 2, SMALLEST)

    def refused(self) -> bool:
        """The gateway takes no requests of this size, ever; whether there are smaller ones."""
        is_smallest = self.size == SMALLEST
        self.broke()
        self._largest = self.size
        return not is_smallest


class Patience:
    """How long is tried in vain: progress gives it back."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit
        self.restore()

    def restore(self) -> None:
        self._failed, self._since = 0, time.monotonic()

    def pause(self, error: Exception) -> None:
        """Wait before the next try: full jitter, or as the gateway asks. Raises ``error`` when it lasts too long."""
        pause = random.uniform(0, min(LONGEST_PAUSE, 0.2 * 2 ** min(self._failed, 10)))  # noqa: S311 jitter
        self._failed += 1
        if isinstance(error, RequestRefused) and error.retry_after is not None:
            pause += error.retry_after.total_seconds()
        if time.monotonic() + pause - self._since > self._limit.total_seconds():
            raise error
        time.sleep(pause)


class Sending:
    """One file on its way into one upload."""

    def __init__(self, session: Session, file: LocalFile, upload: str, how: How) -> None:
        self._session, self._file, self._how = session, file, how
        self._path = upload_path(upload)
        self._pace, self._patience = Pace(), Patience(session.upload_patience)
        self._known = True  # whether ``offset`` is what the gateway has
        self._told = self._best = self._damaged = 0
        self.offset = 0

    def find_offset(self) -> int:
        """How many bytes the gateway has. Raises ``NotFound`` (404) or ``RequestRefused`` (410) if it does not know
        the upload any more, else as ``run``."""
        self._known = False
        while not self._known:
            self._try(self._ask)
        return self.offset

    def run(self, stored: Callable[[], object]) -> None:
        """Send what is missing; ``stored`` is called after each request that has arrived.

        Raises ``LocalFileError`` if the file changes meanwhile, ``GatewayUnreachable`` or ``RequestRefused`` after
        ``upload_patience`` without progress, ``DataDamaged`` if the same bytes arrive damaged again and again.
        """
        while not self._known or self.offset < self._file.size:
            self._try(self._append if self._known else self._ask)
            stored()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (httpx.TransportError, RequestRefused, GatewayUnreachable) as error:
            self._bear(error)

    def _append(self) -> None:
        length = min(self._pace.size, self._file.size - self.offset)
        checksum = base64.b64encode(self._file.crc64nvme(self.offset, length)).decode("ascii")
        headers = TUS | {
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
            "Upload-Offset": str(self.offset),
            "Upload-Checksum": f"crc64nvme {checksum}",
        }
        begun, start = time.monotonic(), self.offset
        answer = self._session.once(
            "PATCH", self._path, headers=headers, stalled=STALLED,
            content=lambda: self._file.chunks(start, length, self._tell),
        )  # fmt: skip
        self._damaged = 0
        self._pace.took(time.monotonic() - begun)
        self._is_at(answer)

    def _ask(self) -> None:
        try:
            self._is_at(self._session.once("HEAD", self._path, headers=TUS, stalled=STALLED))
        except (RequestRefused, GatewayUnreachable):  # an answer to HEAD has no body that says why; this one has
            self._session.once("GET", self._path, stalled=STALLED)
            raise

    def _is_at(self, answer: httpx.Response) -> None:
        offset = answer.headers.get("Upload-Offset", "")
        if not offset.isdecimal() or int(offset) > self._file.size:
            raise GatewayUnreachable(f"The gateway at {self._session.access.url} does not say how much it has.")
        self.offset, self._known = int(offset), True
        self._tell(self.offset - self._told)
        if self.offset > self._best:
            self._best = self.offset
            self._patience.restore()

    def _tell(self, count: int) -> None:
        self._told += count
        self._how.sent(count)

    def _bear(self, error: httpx.TransportError | RequestRefused | GatewayUnreachable) -> None:
        """Get ready for the next try, or raise what makes it senseless."""
        if isinstance(error, RequestRefused) and error.status == CHECKSUM_MISMATCH:
            self._bear_damage()
        elif isinstance(error, RequestRefused) and error.code == TOO_MUCH_AT_ONCE and self._pace.refused():
            pass
        elif not _is_temporary(error):
            raise self._session.explained(error)
        else:
            self._pace.broke()
            explained = self._session.explained(error)
            self._how.broken(explained)
            self._patience.pause(explained)
        self._known = False

    def _bear_damage(self) -> None:
        self._damaged += 1
        if self._damaged == DAMAGED_AT_MOST:
            raise DataDamaged(
                f"Bytes of {str(self._file.path)!r} from {self.offset} on arrive damaged at the gateway, "
                f"{DAMAGED_AT_MOST} times in a row.",
                next_step="Have the network and the disk checked; the same command goes on where it stopped.",
            )


def upload_path(upload: str) -> str:
    """The resource of an upload."""
    return f"uploads/{quote(upload, safe='')}"


def terminate(session: Session, upload: str) -> None:
    """Have the gateway drop an upload, and cancel what would have become of it."""
    session.send("DELETE", upload_path(upload), repeatable=True, headers=TUS)


def _is_temporary(error: httpx.TransportError | RequestRefused | GatewayUnreachable) -> bool:
    if not isinstance(error, RequestRefused):
        return not isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    return error.status in TEMPORARY or error.code == WRONG_OFFSET or (error.status >= 500 and error.retriable)
