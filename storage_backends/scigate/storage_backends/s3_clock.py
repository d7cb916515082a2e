"""What time it is at an S3 server: requests are signed by its clock when it has found ours wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from .dates import http_date

if TYPE_CHECKING:
    from botocore.client import BaseClient

SKEWED: Final = "RequestTimeTooSkewed"  # "Amazon S3 API Reference, List of error codes"
_SIGNER: Final = "scigate-s3v4"
_CLOCK: Final = "scigate-clock"


class ServerClock:
    """The clock of one server, as far as it is known: one for all that is signed for it. Thread-safe."""

    def __init__(self, ours: Callable[[], float] = time.time) -> None:
        self._ours = ours
        self.skew = 0.0  # seconds that the server's clock is ahead of ours, since it has found ours wrong
        self._ahead = 0.0  # the same, by its last answer; not what is signed by, for not every Date is right

    def now(self) -> float:
        """In seconds since 1970."""
        return self._ours() + self.skew

    def hear(self, date: str | None) -> float | None:
        """The ``Date`` of an answer: how many seconds its clock is ahead of ours; None if it does not tell."""
        told = http_date(date)
        if told is None or told.timestamp() < 0:  # no clock starts before 1970
            return None
        self._ahead = told.timestamp() - self._ours()
        return self._ahead

    def at_server(self, moment: datetime) -> datetime:
        """A moment of ours by the server's clock, as its last answer told it; or as it is, if that is earlier: it may
        have been noted before somebody has set our clock."""
        return min(moment, moment + timedelta(seconds=self._ahead))

    def learn(self, code: str, date: str | None) -> bool:
        """Follow the ``Date`` of an answer that refused our time with this code; whether it was such an answer."""
        ahead = self.hear(date)
        if ahead is None or code != SKEWED:
            return False
        self.skew = ahead
        return True


def follow(client: BaseClient, clock: ServerClock) -> None:
    """Let a client of boto3, which knows only this machine's clock, sign by this one.

    A request whose time was refused is sent once more at once: nothing was done, so also one that must not be sent
    twice.
    """
    _know_signers()

    def hand_over(request: Any, **_: Any) -> None:
        request.context[_CLOCK] = clock

    def again(response: Any, attempts: int, **_: Any) -> float | None:
        if response is None:  # no answer
            return None
        code = str(response[1].get("Error", {}).get("Code", ""))
        return 0.0 if clock.learn(code, response[0].headers.get("date")) and attempts == 1 else None

    events: Any = client.meta.events
    events.register_first("choose-signer.s3", lambda **_: _SIGNER)
    events.register("before-sign.s3", hand_over)
    events.register_first("needs-retry.s3", again)


def _know_signers() -> None:
    """botocore finds what signs requests and links by name. It reads the time itself, so it is put right here."""
    from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4Auth, S3SigV4QueryAuth

    if _SIGNER in AUTH_TYPE_MAPS:
        return

    def put_right(request: Any) -> None:
        now = datetime.fromtimestamp(request.context[_CLOCK].now(), UTC)
        request.context["timestamp"] = now.strftime(SIGV4_TIMESTAMP)

    class Requests(S3SigV4Auth):
        def _modify_request_before_signing(self, request: Any) -> None:
            put_right(request)
            super()._modify_request_before_signing(request)  # type: ignore[misc]

    class Links(S3SigV4QueryAuth):
        def _modify_request_before_signing(self, request: Any) -> None:
            put_right(request)
            super()._modify_request_before_signing(request)  # type: ignore[misc]

    AUTH_TYPE_MAPS.update({_SIGNER: Requests, f"{_SIGNER}-query": Links})
