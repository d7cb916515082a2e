"""Statements that are compiled once: for many rows, and for what is asked very often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql import ClauseElement

AT_ONCE: Final = 64  # rows in one INSERT; SQLite took at most 999 values before 3.32


class BulkStatement:
    """A statement that is compiled once and run on many rows.

    Values go to the driver as they are (a few microseconds a row saved): only for columns of plain types.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, list[str] | None, Mapping[str, Any]]] = {}

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run it on every row (values by name); returns how many rows of the table it touched in all."""
        sql, order, _ = self._for(connection)
        values: Any = [tuple(row[name] for name in order) for row in rows] if order else list(rows)
        return connection.exec_driver_sql(sql, values).rowcount if values else 0

    def rows(self, connection: Connection, **values: Any) -> Sequence[Row[Any]]:
        """Run it once; what it answers, as the driver gives it."""
        sql, order, constants = self._for(connection)
        given = {**constants, **values}
        return connection.exec_driver_sql(sql, tuple(given[name] for name in order) if order else given).all()

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
        before, values, one = sql.rpartition("VALUES ")
        many, done = before + values + ", ".join([one] * AT_ONCE), 0
        while len(left) >= AT_ONCE:
            taken, left = left[:AT_ONCE], left[AT_ONCE:]
            done += connection.exec_driver_sql(many, tuple(row[name] for row in taken for name in order)).rowcount
        return done + super().run(connection, left)
