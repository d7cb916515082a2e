"""One statement for many rows, without the cost of preparing each row anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql import ClauseElement


class BulkStatement:
    """A statement that is compiled once and run on many rows.

    Values go to the driver as they are (a few microseconds a row saved): only for columns of plain types.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run it on every row (values by name); returns how many rows of the table it touched in all."""
        sql, order = self._for(connection)
        values: Any = [tuple(row[name] for name in order) for row in rows] if order else list(rows)
        return connection.exec_driver_sql(sql, values).rowcount if values else 0

    def _for(self, connection: Connection) -> tuple[str, list[str] | None]:
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            assert isinstance(dialect, DefaultDialect)
            compiled = self._statement.compile(dialect=dialect)
            self._compiled[dialect.name] = (str(compiled), getattr(compiled, "positiontup", None))
        return self._compiled[dialect.name]
