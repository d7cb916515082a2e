"""Delivers events to webhooks: in order, each at least once, whoever hangs, lies or dies at the other end.

A dispatcher looks for webhooks behind the journal, after our own commits and every half second, and gives them to a
small pool of threads, one turn at a time: a turn is a few events, or one failed try. The cursor is kept after the
receiver has accepted an event, never before, so a crash between the two delivers that event again, with the same id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, Protocol

from scigate.storage_backends.errors import StorageError
from scigate.storage_backends.web_url import InvalidUrl, parse_web_url

from ..db.database import DatabaseUnavailable
from ..transfers.egress_post import Poster
from .journal import Journal, Scan
from .webhooks_rules import Candidate, Refusal, Retries, Turns, choose, given_up, refusal_by, refusal_of
from .webhooks_signing import MasterKey, signed
from .webhooks_store import Delivery, WebhookStore

log = logging.getLogger(__name__)
TICK: Final = 0.5  # seconds between looks for what other gateways have written
PAUSE: Final = 0.1  # seconds between two looks at least, however busy the journal is
TURN: Final = 50  # events in one turn, and
TURN_SECONDS: Final = 15.0  # how long it may go on before others get theirs
LAG: Final = 10_000  # lines of others in the journal after which the cursor is moved behind them
REMEMBERED: Final = 10_000  # webhooks of which it is kept in memory how far they have looked
REST: Final = 30.0  # seconds before a turn that failed by a mistake of ours is repeated
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"


class Owners(Protocol):
    """The users of this gateway now: name → whether they see everybody's transfers."""

    def __call__(self) -> Mapping[str, bool]: ...


class Sender:
    """One signed try."""

    def __init__(self, poster: Poster, key: MasterKey) -> None:
        self._poster, self._key = poster, key

    def send(self, webhook: str, url: str, event: str, body: bytes) -> Refusal | None:
        """POST an event, once; None if it was accepted. The id of the message is the same each time."""
        now = int(time.time())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": f"SciGate/{version('scigate')}",
            **signed(self._key.signing_key(webhook), f"msg_{webhook}_{event}", now, body),
        }
        try:
            posted = self._poster.post(url, headers, body)
        except StorageError as error:
            return refusal_by(error)
        return refusal_of(posted.status, posted.retry_after, datetime.now(UTC))

    def close(self) -> None:
        """End running tries at once."""
        self._poster.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the journal was looked through for a webhook whose cursor was ``delivered`` then."""

    delivered: int
    cursor: int


class Deliveries:
    """The threads that deliver. ``worker`` names this gateway, also after it was started anew."""

    def __init__(
        self, store: WebhookStore, journal: Journal, sender: Sender, key: MasterKey, owners: Owners, *,
        worker: str, retries: Retries | None = None, turns: Turns | None = None,
    ) -> None:  # fmt: skip
        self._store, self._journal, self._sender, self._key, self._owners = store, journal, sender, key, owners
        self._worker, self._retries, self._turns = worker, retries or Retries(), turns or Turns()
        self._seen: dict[int, Seen] = {}
        self._resting: dict[int, float] = {}
        self._running: dict[int, Candidate] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(self._turns.total, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._dispatch, name="webhooks", daemon=True)

    def start(self) -> None:
        """Go on where each webhook was."""
        if others := self._store.count_of_other_keys(self._key.name):
            log.warning(
                "%d webhooks were made under another master key, and this gateway does not deliver them: "
                "several gateways on one database need the same secret_key under [gateway]", others,
            )  # fmt: skip
        self._thread.start()

    def stop(self) -> None:
        """Break off running tries, which count as never made."""
        self._stopping.set()
        self._wake.set()
        self._sender.close()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def is_alive(self) -> bool:
        """Whether something is delivered at all."""
        return self._thread.is_alive()

    def look(self) -> None:
        """There may be something new to deliver."""
        self._wake.set()

    # --- whose turn it is ----------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK)
            self._wake.clear()
            try:
                self._round()
            except DatabaseUnavailable as error:
                log.warning("webhooks: nothing is delivered for now: %s", error)
                self._stopping.wait(1.0)
            except Exception:
                log.exception("webhooks: a round failed; the next one begins anew")
                self._stopping.wait(1.0)
            self._stopping.wait(PAUSE)

    def _round(self) -> None:
        owners, newest = self._owners(), self._journal.newest()
        due = {one.seq: one for one in self._store.due(self._worker, self._key.name, newest, owners.keys())}
        with self._lock:
            waiting = [_candidate(one) for one in due.values() if self._is_waiting(one, newest)]
            chosen = choose(waiting, self._running.values(), self._turns)
            self._running |= {one.seq: one for one in chosen}
        for one in chosen:
            self._pool.submit(self._turn, due[one.seq], everybody=owners[one.owner])

    def _is_waiting(self, one: Delivery, newest: int) -> bool:
        rested = time.monotonic() >= self._resting.get(one.seq, 0.0)
        return one.seq not in self._running and rested and self._start(one) < newest

    def _start(self, one: Delivery) -> int:
        """Behind which line to look for the next event; a replay, which moves the cursor back, counts."""
        seen = self._seen.get(one.seq)
        return seen.cursor if seen is not None and seen.delivered == one.delivered else one.delivered

    # --- one turn ------------------------------------------------------------------------------------------------

    def _turn(self, one: Delivery, everybody: bool) -> None:
        try:
            self._deliver(one, everybody)
        except DatabaseUnavailable as error:
            log.warning("webhook %s: not delivered for now: %s", one.id, error)
            self._resting[one.seq] = time.monotonic() + 1.0
        except Exception:
            log.exception("webhook %s: a delivery failed by a mistake of ours", one.id)
            self._resting[one.seq] = time.monotonic() + REST
        finally:
            with self._lock:
                self._running.pop(one.seq, None)
            self._wake.set()

    def _deliver(self, one: Delivery, everybody: bool) -> None:
        scan = self._scan(one, self._start(one), everybody)
        if not scan.lines and scan.cursor - one.delivered < LAG:
            self._remember(one, scan.cursor)
            return
        held = self._store.claim(one.seq, self._worker)
        if held is None or held.delivered != one.delivered:
            return  # another gateway is at it, or its owner has moved the cursor: seen at the next round
        try:
            self._hand_over(held, scan)
        finally:
            self._store.release(one.seq, self._worker)

    def _scan(self, one: Delivery, after: int, everybody: bool) -> Scan:
        owner = None if everybody else one.owner
        return self._journal.scan(after, TURN, owner=owner, topics=one.topics, types=one.types)

    def _hand_over(self, held: Delivery | None, scan: Scan) -> None:
        end = time.monotonic() + TURN_SECONDS
        for line in scan.lines:
            if held is None or self._stopping.is_set() or time.monotonic() > end:
                return
            refusal = self._sender.send(held.id, held.url, str(line.id), line.text)
            if refusal is not None:
                self._refused(held, refusal)
                return
            held = self._store.accepted(held, self._worker, line.id)
        if held is not None and scan.cursor - held.delivered >= LAG:
            self._store.skip(held, self._worker, scan.cursor)
        elif held is not None:
            self._remember(held, scan.cursor)

    def _remember(self, one: Delivery, cursor: int) -> None:
        if len(self._seen) > REMEMBERED:  # most of them deleted since; to look again costs little
            self._seen.clear()
        self._seen[one.seq] = Seen(one.delivered, cursor)

    def _refused(self, held: Delivery, refusal: Refusal) -> None:
        if self._stopping.is_set():
            return  # broken off by us
        delay = max(refusal.wish, self._retries.delay(held.failures + 1))
        give_up = 0.0 if refusal.final else self._retries.give_up.total_seconds()
        last = refusal.cause if refusal.final else given_up(refusal.cause)
        disabled = self._store.refused(held, self._worker, refusal.cause, last, delay=delay, give_up=give_up)
        where = host_of(held.url)
        if disabled:
            log.warning("webhook %s to %s is disabled: %s", held.id, where, refusal.cause.message)
        else:
            log.info("webhook %s to %s failed: %s", held.id, where, refusal.cause.message)


def _candidate(one: Delivery) -> Candidate:
    return Candidate(one.seq, one.owner, one.failures > 0, one.next_try)


def host_of(url: str) -> str:
    """All of a URL that a log may show: paths and queries of webhooks are often secret."""
    try:
        return parse_web_url(url).host_header
    except InvalidUrl:
        return "(unreadable URL)"
