"""Sending events to any number of followers, from the event loop.

Nothing is queued for a follower: each is a cursor, and is served from the feed's memory when there is news and its
socket has taken what it was given before. One that does not read is set aside until it does, and costs nothing; while
its buffers fill, those who read go first. The work is paced, so that a crowd of followers gets its events later instead
of slowing the gateway, and more so while files are moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from datetime import timedelta
from typing import Any, Final, TypeAlias

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from ...actor import Actor
from ...db.database import DatabaseUnavailable
from ...events.following import Events, Following
from ...events.journal import Line, Scan
from ...events.ring import Interest
from ...problems import Problem
from ...resources import Event
from .backlog import Backlog

log = logging.getLogger(__name__)
HEARTBEAT: Final = 15.0  # seconds
LONGEST: Final = 300.0  # seconds for who has to prove anew who they are; they come back, and miss nothing
STALL: Final = 300.0  # seconds after which who takes nothing is disconnected
MOST: Final = 64  # events of one write: what a socket does not take stays in memory until it does
CROWD: Final = 50  # followers to be served; beyond that, each write is of
FEW: Final = 8  # events
SLICE: Final = 0.005  # seconds of work (of the processor) at a stretch
REST: Final = 4  # times as long is rested afterwards: a fifth of one processor at most, and as much for pages;
REST_WHILE_MOVING: Final = 19  # while files are moved: a twentieth
LATER: Final = 8  # so many who read go before one who does not
AGAIN: Final = 1.0  # seconds before a database that does not answer is asked again
PROGRESS: Final = 1.0  # seconds between two looks at what moves
FAREWELL: Final = 1.0  # seconds that streams get to end when the server stops

Run: TypeAlias = "Callable[..., Awaitable[Any]]"
"""Calls a function that may block, in a thread."""


class Reader:
    """One cursor of one connection."""

    __slots__ = ("connection", "cursor", "interest", "is_followed", "is_loading", "is_queued", "progress")

    def __init__(self, connection: Connection, following: Following, *, progress: bool) -> None:
        self.connection, self.interest, self.cursor = connection, following.interest, following.cursor
        self.progress = progress
        self.is_followed = self.is_queued = self.is_loading = False


Progress: TypeAlias = "Sequence[tuple[Reader, Event]]"


class Connection(ABC):
    """A socket that events go to: one write at a time, the next when the last one has been taken."""

    def __init__(self, actor: Actor) -> None:
        self.owner = actor.id
        self._ends = None if actor.expires is None else time.monotonic() + LONGEST
        self.busy_since: float | None = None
        self.parked: set[Reader] = set()
        self.backlog: Backlog | None = None
        self.last_write = 0
        """Its bytes, to be set by ``write_…``."""
        self.on_free: Callable[[Connection], None] = lambda connection: None

    @abstractmethod
    def write_lines(self, reader: Reader, lines: Sequence[Line]) -> asyncio.Future[None]:
        """Write events of the journal; the future is done when the socket has taken them."""

    @abstractmethod
    def write_progress(self, told: Progress) -> asyncio.Future[None]:
        """Write events that are not in the journal."""

    @abstractmethod
    def write_heartbeat(self) -> asyncio.Future[None]:
        """Write a sign of life."""

    @abstractmethod
    def end(self) -> None:
        """End it politely: the server stops, or they have to prove anew who they are."""

    @abstractmethod
    def abort(self) -> None:
        """Close it at once."""

    def send(self, write: Callable[..., asyncio.Future[None]], *arguments: object) -> None:
        """Call one of the above. Only while it is not busy."""
        try:
            future = write(*arguments)
        except (StreamClosedError, WebSocketClosedError):
            return  # its handler is told, and takes it out
        self.busy_since = time.monotonic()
        future.add_done_callback(self._taken)

    def is_read(self) -> bool:
        """Whether its other side has read what it was given before, as far as one can tell."""
        return self.backlog is None or self.backlog.is_read(self.last_write)

    def beat(self) -> None:
        """Show life if it can be shown; give up who has taken nothing for too long, end who has to come back."""
        if self._ends is not None and time.monotonic() > self._ends:
            self.end()
        elif self.busy_since is None:
            self.send(self.write_heartbeat)
        elif time.monotonic() - self.busy_since > STALL:
            log.info("events: a follower of %s has read nothing for %.0f s and is disconnected", self.owner, STALL)
            self.abort()

    def _taken(self, future: asyncio.Future[None]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        self.busy_since = None
        self.on_free(self)


class Fanout:
    """All connections that follow events at this gateway. Lives in the event loop between ``start`` and ``stop``."""

    def __init__(self, events: Events, run: Run, *, most: int, most_per_user: int) -> None:
        self._events, self._run, self._most, self._most_per_user = events, run, most, most_per_user
        self._connections: dict[Connection, asyncio.TimerHandle] = {}
        self._of_user: Counter[str] = Counter()
        self._readers: dict[str, set[Reader]] = defaultdict(set)
        self._progress: dict[str, set[Reader]] = defaultdict(set)
        self._due: deque[Reader] = deque()
        self._later: deque[Reader] = deque()
        """Due as well, but with something to read already."""
        self._prompt = 0
        self._end_listening: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; from within the loop."""
        self._loop, self._work = asyncio.get_running_loop(), asyncio.Event()
        self._paging, self._stopping = asyncio.Lock(), False
        self._begin(self._serve())
        self._begin(self._tell_progress())

    async def stop(self) -> None:
        """End all connections, accept no more."""
        self._stopping = True
        for connection in list(self._connections):
            connection.end()
        deadline = time.monotonic() + FAREWELL
        while self._connections:
            await asyncio.sleep(0.01)  # in which those that take what they are given end, however late it is
            if time.monotonic() > deadline:
                break
        self._end_listening()
        for task in self._tasks:
            task.cancel()

    # --- who follows ---------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> None:
        """Take in a connection, until it is dismissed. Raises ``Problem`` when there are too many."""
        self._check_room(connection.owner)
        if not self._connections:
            self._end_listening = self._events.feed.listen(self._hear)
        self._of_user[connection.owner] += 1
        connection.on_free = self._unpark
        self._connections[connection] = self._loop.call_later(HEARTBEAT, self._beat, connection)

    def dismiss(self, connection: Connection, readers: Iterable[Reader]) -> None:
        """It is over, with all its readers."""
        for reader in list(readers):
            self.unfollow(reader)
        self._connections.pop(connection).cancel()
        self._of_user[connection.owner] -= 1
        if not self._of_user[connection.owner]:
            del self._of_user[connection.owner]
        if not self._connections:
            self._end_listening()

    def follow(self, reader: Reader) -> None:
        """Serve this reader from now on, unless its connection is over."""
        if reader.connection not in self._connections:
            return
        reader.is_followed = True
        self._index(reader)
        for key in reader.interest.keys if reader.progress else ():
            self._progress[key].add(reader)
        self._queue(reader)

    def users(self) -> list[str]:
        """Who follows events now. Thread-safe."""
        return list(self._of_user)

    def unfollow(self, reader: Reader) -> None:
        """Serve it no more."""
        reader.is_followed = False
        reader.connection.parked.discard(reader)
        for index in (self._readers, self._progress):
            _remove(index, reader)

    def _check_room(self, owner: str) -> None:
        if self._stopping or len(self._connections) >= self._most:
            raise Problem(503, "too-many-streams", "The gateway has as many streams of events as it can bear.",
                          next_step="Try again in a minute; or ask for the journal of a transfer from time to time.",
                          retriable=True, retry_after=timedelta(seconds=30))  # fmt: skip
        if self._of_user[owner] >= self._most_per_user:
            raise Problem(429, "too-many-streams", f"You have {self._most_per_user} streams of events open.",
                          next_step="Close one, or follow many topics on one WebSocket.", retriable=True,
                          retry_after=timedelta(seconds=30))  # fmt: skip

    # --- news ----------------------------------------------------------------------------------------------------

    def _hear(self, keys: Set[str] | None) -> None:
        """In the feed's thread."""
        with contextlib.suppress(RuntimeError):  # the loop was closed in this very moment
            if not self._stopping:
                self._loop.call_soon_threadsafe(self._wake, keys)

    def _wake(self, keys: Set[str] | None) -> None:
        for key in list(self._readers) if keys is None else keys & self._readers.keys():
            for reader in self._readers[key]:
                self._queue(reader)

    def _queue(self, reader: Reader) -> None:
        if not reader.is_queued and not reader.is_loading:
            reader.is_queued = True
            self._due.append(reader)
            self._work.set()

    def _index(self, reader: Reader) -> None:
        for key in reader.interest.keys:
            self._readers[key].add(reader)

    def _park(self, reader: Reader) -> None:
        """Its socket is full: no news for it until it has room."""
        reader.connection.parked.add(reader)
        _remove(self._readers, reader)

    def _unpark(self, connection: Connection) -> None:
        for reader in connection.parked:
            self._index(reader)
            self._queue(reader)
        connection.parked.clear()

    # --- serving -------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        while True:
            await self._work.wait()
            begun = time.thread_time()
            while (self._due or self._later) and time.thread_time() - begun < SLICE:
                self._step()
            if not self._due and not self._later:
                self._work.clear()
            await self._rest(time.thread_time() - begun)

    async def _rest(self, spent: float) -> None:
        """After ``spent`` seconds of the processor."""
        await asyncio.sleep(spent * (REST_WHILE_MOVING if self._events.is_moving() else REST))

    def _step(self) -> None:
        """Serve the next one; who does not read goes behind those who do, as long as there are any."""
        if self._due and (self._prompt < LATER or not self._later):
            reader, others = self._due.popleft(), len(self._due)
            if reader.connection.busy_since is None and not reader.connection.is_read():
                self._later.append(reader)
                return
            self._prompt += 1
        else:
            reader, others = self._later.popleft(), len(self._due) + len(self._later)
            self._prompt = 0
        self._serve_one(reader, MOST if others < CROWD else FEW)

    def _serve_one(self, reader: Reader, most: int) -> None:
        reader.is_queued = False
        if not reader.is_followed:
            return
        if reader.connection.busy_since is not None:
            self._park(reader)
            return
        try:
            self._deliver(reader, self._events.take(reader.interest, reader.cursor, most))
        except Exception:
            log.exception("events: a follower of %s cannot be served", reader.connection.owner)
            reader.connection.abort()

    def _deliver(self, reader: Reader, found: Scan | None) -> None:
        if found is None:
            reader.is_loading = True
            self._begin(self._page(reader))
            return
        reader.cursor = found.cursor
        if found.lines:
            reader.connection.send(reader.connection.write_lines, reader, found.lines)
        if not found.end:
            self._queue(reader)

    async def _page(self, reader: Reader) -> None:
        """Serve one who is behind what is in memory."""
        async with self._paging:
            found = await self._read(reader) if reader.is_followed and not self._is_in_memory(reader) else None
        reader.is_loading = False
        if found is not None and reader.connection.busy_since is None and reader.is_followed:
            self._deliver(reader, _beginning(found))  # at once: before its turn comes, the page may be forgotten
        if reader.is_followed:
            self._queue(reader)  # what it was not told of while it was loading may be there now

    def _is_in_memory(self, reader: Reader) -> bool:
        """By now: somebody else has read it while this one waited for its turn."""
        return self._events.take(reader.interest, reader.cursor, 1) is not None

    async def _read(self, reader: Reader) -> Scan | None:
        try:
            found: Scan
            found, spent = await self._run(_timed, self._events.page, reader.interest, reader.cursor)
        except DatabaseUnavailable as error:
            log.warning("events: %s; trying again", error)
            await asyncio.sleep(AGAIN)
            return None
        await self._rest(spent)
        return found

    def _beat(self, connection: Connection) -> None:
        self._connections[connection] = self._loop.call_later(HEARTBEAT, self._beat, connection)
        connection.beat()

    # --- progress ------------------------------------------------------------------------------------------------

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS)
            if not self._progress:
                continue
            try:
                found = await self._run(self._events.sample, list(self._progress))
            except DatabaseUnavailable:
                continue
            told: dict[Connection, list[tuple[Reader, Event]]] = defaultdict(list)
            for key, events in found.items():
                for reader in self._progress.get(key, ()):
                    told[reader.connection] += [(reader, event) for event in events]
            await self._send_progress(told)

    async def _send_progress(self, told: dict[Connection, list[tuple[Reader, Event]]]) -> None:
        begun = time.thread_time()
        for connection, events in told.items():
            if connection.busy_since is None and connection in self._connections:
                connection.send(connection.write_progress, events)
            if (spent := time.thread_time() - begun) > SLICE:
                await self._rest(spent)
                begun = time.thread_time()

    def _begin(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _beginning(page: Scan) -> Scan:
    """As much of a page as is written at once."""
    if len(page.lines) <= MOST:
        return page
    lines = page.lines[:MOST]
    return Scan(lines, lines[-1].id, end=False)


def _timed(page: Callable[[Interest, int], Scan], interest: Interest, after: int) -> tuple[Scan, float]:
    """The page, and the time of the processor that it took."""
    begun = time.thread_time()
    return page(interest, after), time.thread_time() - begun


def _remove(index: dict[str, set[Reader]], reader: Reader) -> None:
    for key in reader.interest.keys:
        if key in index:
            index[key].discard(reader)
            if not index[key]:
                del index[key]
