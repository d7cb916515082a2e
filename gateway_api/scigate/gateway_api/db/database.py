"""Access to the database: one writer thread with group commit, readers beside it.

SQLite (the default): WAL with ``synchronous=FULL``, so that an acknowledged commit survives a power cut; grouping
makes that affordable. PostgreSQL: the same code by URL, for several gateways on one database.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, Transaction, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.pool import Pool, QueuePool, StaticPool

from . import points
from .bulk import tell_sqlite
from .clock import Clock, shift
from .sqlite_file import SqliteFile, log_ahead

log = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[Connection], T]

GROUP: Final = 256  # most jobs in one commit
PATIENCE: Final = 30.0  # seconds that a write waits for a database that is locked or restarting
WAL_KEPT: Final = 64 << 20  # bytes of SQLite's log that stay on the disk after a reader has held up its end for long
TURN: Final = 0x5C16A7E  # names the lock by which writers of one PostgreSQL take turns
NO_MEMORY: Final = "this gateway has no memory left"
_STOP: Final = None


class DatabaseUnavailable(Exception):
    """The database could not be written in time; nothing is known to be stored. The caller may try again."""


class Database:
    """A database by URL. Jobs given to ``write`` may run more than once and must then come to the same result:
    a commit whose answer is lost is repeated."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite, self._file = self.url.get_backend_name() == "sqlite", SqliteFile(self.url)
        self._writer = _sqlite(url, "BEGIN IMMEDIATE") if self.is_sqlite else _server(url)
        self._reader = _sqlite(url, "BEGIN") if self.is_sqlite else self._writer
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self.on_commit: list[Callable[[], None]] = []
        """Each is called after each commit, from the writer's thread; must be quick and not raise."""
        self._closed, self._own, self._clock = False, threading.local(), Clock()
        self._private: list[Engine] = []
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def write(self, job: Job[T]) -> T:
        """Run ``job`` in a transaction and return its result once that is durable.

        Raises what the job raises (its own changes are then undone), or ``DatabaseUnavailable``.
        """
        return self.begin_write(job).result()

    def begin_write(self, job: Job[T]) -> Future[T]:
        """The same without waiting: what it returns, or raises, comes later. Callbacks run in the writer's thread."""
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        future: Future[T] = Future()
        self._jobs.put((job, future))
        if self._closed and not self._thread.is_alive():  # closed in this very moment: nobody would ever do it
            self._refuse_late()
        return future

    def write_apart(self, job: Job[T]) -> T:
        """As ``write``, but not kept waiting by the turn of another gateway (which may be frozen in it): for a job that
        changes one row and writes no line of the journal. It is not repeated when the database does not answer."""
        if self.is_sqlite:
            return self.write(job)
        try:
            with self._writer.connect() as connection:
                points.undone(connection)
                with connection.begin():
                    connection.execute(_LET_GO)
                    value = job(connection)
                points.committed(connection)
                return value
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"the database cannot be written: {_why(error)}") from error

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading a consistent snapshot."""
        if happened := self._file.what_has_happened():
            raise DatabaseUnavailable(happened)
        try:
            own: _OwnReader | None = getattr(self._own, "reader", None)
            with own.begun() if own else self._reader.connect() as connection:
                yield connection
        except (DBAPIError, NoConnectionFree) as error:
            raise DatabaseUnavailable(f"the database cannot be read: {_why(error)}") from error
        except MemoryError as error:
            raise DatabaseUnavailable(f"the database cannot be read: {NO_MEMORY}") from error

    def reads_alone(self) -> bool:
        """From now on this thread reads by a connection that is its own, so that it waits for nobody; whether that
        is so: SQLite's readers wait neither for writers nor for a network. Raises ``DatabaseUnavailable``."""
        if self.is_sqlite:
            try:
                self._own.reader = _OwnReader(self.url)
            except SQLAlchemyError as error:
                raise DatabaseUnavailable(f"the database cannot be read: {_why(error)}") from error
            self._private.append(self._own.reader.engine)
        return self.is_sqlite

    def check(self) -> None:
        """Raises ``DatabaseUnavailable`` unless it answers."""
        with self.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def now(self, connection: Connection) -> float:
        """The database's clock, in seconds since 1970: leases of several hosts are compared on one clock."""
        if self.is_sqlite:
            return self._clock.now()
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def close(self) -> None:
        """Finish what was given, then close."""
        self._closed = True
        self._jobs.put(_STOP)
        self._thread.join()
        self._refuse_late()
        for engine in (self._writer, self._reader, *self._private):
            engine.dispose()

    def _refuse_late(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if late := self._jobs.get_nowait():
                    late[1].set_exception(DatabaseUnavailable("the database is closed"))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group = [self._jobs.get()]
            while len(group) < GROUP and not self._jobs.empty():
                group.append(self._jobs.get())
            stopping = _STOP in group
            if jobs := [given for given in group if given is not None]:
                try:
                    self._commit(jobs)
                except Exception as error:  # whatever it is, for example no memory: else nobody could write any more
                    log.exception("database: a commit failed")
                    _refuse(jobs, error)
                jobs.clear()
            group.clear()  # while the next one is waited for, nothing is kept of this one

    def _commit(self, group: list[tuple[Job[Any], Future[Any]]]) -> None:
        deadline, attempts = time.monotonic() + PATIENCE, 0
        answers: list[_Result | BaseException]
        while True:
            if happened := self._file.what_has_happened():
                answers = [DatabaseUnavailable(happened)] * len(group)
                break
            try:
                answers = self._attempt([job for job, _ in group])
                break
            except SQLAlchemyError as error:
                attempts += 1
                again = attempts == 1 and not self.is_sqlite  # after a freeze of ours the first attempt says nothing
                if _is_lasting(error) or (time.monotonic() > deadline and not again):
                    answers = [DatabaseUnavailable(f"the database cannot be written: {_why(error)}")] * len(group)
                    break
                log.warning("database: %s; trying again", _why(error))
                time.sleep(0.2)
        _tell(group, answers)

    def _attempt(self, jobs: list[Job[Any]]) -> list[_Result | BaseException]:
        with self._writer.connect() as connection:
            points.undone(connection)
            with connection.begin() as whole:
                if not self.is_sqlite:
                    connection.execute(_TAKE_TURN)
                if len(jobs) == 1:  # savepoints are only for those who share a transaction
                    answers = [_run_job(connection, jobs[0], _Whole(whole))]
                else:
                    answers = [_run_job(connection, job, _Savepoint(connection)) for job in jobs]
                step = self._shifted(connection) if self.is_sqlite and whole.is_active else 0.0
            self._clock.follow(step)
            points.committed(connection)
        for tell in self.on_commit:
            tell()
        return answers

    def _shifted(self, connection: Connection) -> float:
        """By how many seconds what waits was moved, as the last thing of a transaction, because somebody has set the
        clock. A lease is renewed every few seconds, so it never takes long until this is noticed."""
        if step := self._clock.step():
            log.warning("the clock was set by %+.0f s; what is waited for moves with it", step)
            shift(connection, step)
        return step


def _tell(group: list[tuple[Job[Any], Future[Any]]], answers: list[_Result | BaseException]) -> None:
    """Empties both: an error holds the frames that it came through, here and where it is met, with all that is open
    there; if these held it, too, that would stay open until the garbage collector comes by."""
    for (_, future), answer in zip(group, answers, strict=True):
        if isinstance(answer, _Result):
            future.set_result(answer.value)
        else:
            future.set_exception(answer)
    group.clear()
    answers.clear()


def _refuse(jobs: list[tuple[Job[Any], Future[Any]]], error: Exception) -> None:
    """Tell those who have no answer yet."""
    why = NO_MEMORY if isinstance(error, MemoryError) else type(error).__name__
    for _, future in jobs:
        if not future.done():
            future.set_exception(DatabaseUnavailable(f"the database cannot be written: {why}"))


_LIMITS: Final = (
    "SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '20s', true)"
)
_LET_GO: Final = text(_LIMITS)
"""A gateway that is frozen in a transaction loses it: nobody could take its work over while it holds the row of its own
lease."""
_TAKE_TURN: Final = text(f"{_LIMITS}, pg_advisory_xact_lock({TURN})")
"""One writer at a time, as on SQLite: else the lines of the journal would become visible out of the order of their
ids, and a reader that goes on behind the last id it saw would miss some (docs/adr/0005). Taken before anything else,
so that no two writers wait for each other; a gateway that is frozen in its turn loses it."""


_LASTING: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY,
    }
)  # fmt: skip


class _Savepoint:
    """A part of a transaction that can be undone by itself; SQLAlchemy's own cost as much as the job inside."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._run("SAVEPOINT job")

    def commit(self) -> None:
        self._run("RELEASE SAVEPOINT job")

    def rollback(self) -> None:
        self._run("ROLLBACK TO SAVEPOINT job")
        self.commit()

    def _run(self, sql: str) -> None:
        if self._connection.dialect.name == "sqlite":
            tell_sqlite(self._connection, sql)
        else:
            self._connection.exec_driver_sql(sql)


class _Whole:
    """A transaction with one job, committed by whoever began it."""

    def __init__(self, transaction: Transaction) -> None:
        self.rollback = transaction.rollback

    def commit(self) -> None:
        """Not yet."""


class _Result:
    """What a job returned, told apart from what it raised."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _run_job(connection: Connection, job: Job[Any], own: _Whole | _Savepoint) -> _Result | BaseException:
    """``own``: what is undone when the job fails, and nothing else."""
    before = points.mark(connection)
    try:
        value = job(connection)
    except DBAPIError as error:
        # Of a full disk SQLite undoes the whole transaction itself: there is no part of it left to go back to.
        if error.connection_invalidated or _is_passing(error) or _is_lasting(error):
            raise
        own.rollback()
        points.undone(connection, before)
        return error if isinstance(error, IntegrityError) else DatabaseUnavailable(_why(error))
    except Exception as error:  # noqa: BLE001 handed to whoever gave the job; the others in the group go on
        own.rollback()
        points.undone(connection, before)
        return DatabaseUnavailable(NO_MEMORY) if isinstance(error, MemoryError) else error
    own.commit()
    return _Result(value)


def _is_passing(error: DBAPIError) -> bool:
    """Locked, restarting, out of connections, too late, serialization failure or deadlock: the same again may work."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == "53100":  # disk full
        return False
    return state.startswith(("08", "25P03", "40", "53", "55P03", "57")) or "locked" in str(error.orig)


def _is_lasting(error: SQLAlchemyError) -> bool:
    """A full disk, a failing one, a damaged file: it is said at once, for everybody would wait behind this commit, also
    those who only want to read (SQLite, "Result and Error Codes": the low byte is the primary one)."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) or 0
    return code & 0xFF in _LASTING


def _why(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


_ALIVE: Final = {
    "connect_timeout": 10, "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}  # fmt: skip
"""A server that has vanished without a word is noticed within half a minute; else the one writer would wait for the
kernel to give up, which takes a quarter of an hour or two (libpq, "Parameter Key Words": seconds, and milliseconds)."""


def _server(url: str) -> Engine:
    parsed = make_url(url)
    libpq = parsed.get_driver_name().startswith("psycopg")
    alive = {name: value for name, value in _ALIVE.items() if libpq and name not in parsed.query}
    return create_engine(
        url, pool_pre_ping=True, pool_size=16, max_overflow=16, connect_args=alive, hide_parameters=True
    )


class _OwnReader:
    """The connection of a thread that reads all the time: it stays checked out, and to SQLAlchemy it is in one long
    transaction, which takes 20 µs less than another one for each snapshot."""

    def __init__(self, url: URL) -> None:
        self.engine = _sqlite(url, None, StaticPool)
        self._connection = self.engine.connect()
        self._connection.begin()

    @contextlib.contextmanager
    def begun(self) -> Iterator[Connection]:
        """With a snapshot of its own."""
        tell_sqlite(self._connection, "BEGIN")
        try:
            yield self._connection
        finally:
            if cast("sqlite3.Connection", self._connection.connection.driver_connection).in_transaction:
                tell_sqlite(self._connection, "ROLLBACK")


def _sqlite(url: str | URL, begin: str | None, pool: type[Pool] = QueuePool) -> Engine:
    """``begin``: how a transaction begins; None: whoever uses it sees to that."""
    arguments = {"timeout": PATIENCE, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, poolclass=pool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin and commit behind our back
        log_ahead(connection, PATIENCE)
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(PATIENCE * 1000)}",
            f"journal_size_limit={WAL_KEPT}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin:
            tell_sqlite(connection, begin)

    return engine
