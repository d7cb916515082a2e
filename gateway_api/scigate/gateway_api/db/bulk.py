"""Statements that are compiled once: for many rows, and for what is asked very often.

They go straight to SQLite's driver. SQLAlchemy's way to it and back took 45 µs of CPU for each of them, of which the
database needs 8 (one row by its key).
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

AT_ONCE: Final = 64  # rows in one INSERT; SQLite took at most 999 values before 3.32


class BulkStatement:
    """A statement that is compiled once and run on many rows.

    Values go to the driver as they are (a few microseconds a row saved): only for columns of plain types.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, list[str] | None, Mapping[str, Any]]] = {}
        self._row: Callable[[Iterable[Any]], Any] | None = None

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run it on every row (values by name); returns how many rows of the table it touched in all."""
        sql, order, _ = self._for(connection)
        values: Any = list(map(_taken(tuple(order)), rows)) if order else list(rows)
        return _done(connection, sql, values) if values else 0

    def rows(self, connection: Connection, **values: Any) -> Sequence[Any]:
        """Run it once; what it answers, as the driver gives it, by names."""
        sql, order, constants = self._for(connection)
        given = {**constants, **values}
        if order is None:
            return connection.exec_driver_sql(sql, given).all()
        cursor = run_on_sqlite(connection, sql, [given[name] for name in order])
        if self._row is None:
            self._row = _row_of([column[0] for column in cursor.description])
        return [self._row(row) for row in _fetched(cursor, sql)]

    def _for(self, connection: Connection) -> tuple[str, list[str] | None, Mapping[str, Any]]:
        """The statement for this database, the order of its values if they have no names, and those that it has."""
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            assert isinstance(dialect, DefaultDialect)
            compiled = self._statement.compile(dialect=dialect)
            self._compiled[dialect.name] = (str(compiled), getattr(compiled, "positiontup", None), compiled.params)
        return self._compiled[dialect.name]


class BulkInsert(BulkStatement):
    """An INSERT that takes many rows at once.

    SQLite's driver runs a statement once for each row, and each time gives the interpreter lock away and queues for it
    again: measured beside busy threads, that was six times as long for half as many instructions.
    """

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        sql, order, _ = self._for(connection)
        left = list(rows)
        if order is None:  # psycopg sends them all in one go by itself
            return super().run(connection, left)
        done = 0
        while len(left) >= AT_ONCE:
            taken, left = left[:AT_ONCE], left[AT_ONCE:]
            done += run_on_sqlite(connection, _of_rows(sql, AT_ONCE), _values(taken, order)).rowcount
        return done + super().run(connection, left)

    def told(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run it on every row; what its RETURNING tells, by names, of those that were written. For SQLite (3.35)."""
        sql, order, _ = self._for(connection)
        assert order is not None
        found: list[Any] = []
        for start in range(0, len(rows), AT_ONCE):
            taken = rows[start : start + AT_ONCE]
            cursor = run_on_sqlite(connection, _of_rows(sql, len(taken)), _values(taken, order))
            self._row = self._row or _row_of([column[0] for column in cursor.description])
            found += map(self._row, _fetched(cursor, sql))
        return found


@lru_cache(maxsize=256)
def _of_rows(sql: str, count: int) -> str:
    """An INSERT of one row as one of ``count`` rows."""
    before, values, rest = sql.partition(" VALUES (")
    one, _, after = rest.partition(")")
    return before + values + "), (".join([one] * count) + ")" + after


def _values(rows: Iterable[Mapping[str, Any]], order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(chain.from_iterable(map(_taken(tuple(order)), rows)))


@lru_cache(maxsize=256)
def _taken(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Takes the values with these names, in their order."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


def run_on_sqlite(connection: Connection, sql: str, values: Any = (), *, many: bool = False) -> sqlite3.Cursor:
    """Run it in the transaction of ``connection``, which begins if none has. Raises what SQLAlchemy raises."""
    if not connection.in_transaction():
        connection.begin()
    return tell_sqlite(connection, sql, values, many=many)


def tell_sqlite(connection: Connection, sql: str, values: Any = (), *, many: bool = False) -> sqlite3.Cursor:
    """The same without a look at transactions: for what begins and ends them, and their parts."""
    cursor: Any = connection.connection.cursor()
    try:
        return cursor.executemany(sql, values) if many else cursor.execute(sql, values)  # type: ignore[no-any-return]
    except sqlite3.Error as error:
        raise _told(sql, error) from error


def _done(connection: Connection, sql: str, values: Sequence[Any]) -> int:
    """How many rows of the table were touched."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(sql, list(values)).rowcount
    many = len(values) > 1
    return run_on_sqlite(connection, sql, values if many else values[0], many=many).rowcount


def _fetched(cursor: sqlite3.Cursor, sql: str) -> Sequence[Any]:
    try:
        return cursor.fetchall()
    except sqlite3.Error as error:
        raise _told(sql, error) from error


def _told(sql: str, error: sqlite3.Error) -> BaseException:
    """The error as SQLAlchemy tells it; of the values nothing is told."""
    return DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True)


def _row_of(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    """Makes rows with these columns."""
    kind: Any = namedtuple("Row", names)  # type: ignore[misc]
    make: Callable[[Iterable[Any]], Any] = kind._make
    return make
