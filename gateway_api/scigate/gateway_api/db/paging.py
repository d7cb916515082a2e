"""Pages of a list: cursors, and pages of what the database cannot select by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, Table

from ..problems import Problem

MOST_SCANNED: Final = 10_000
"""Rows looked through for one page of a state that is no column, before the page ends early."""


def cursor(after: str | None) -> int | None:
    """The number in the cursor of a page. Raises ``Problem`` 422."""
    if after is None:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise Problem(422, "invalid-cursor", f"{after[:40]!r} is not a cursor.",
                      next_step="Use 'next' of the page before, or start without a cursor.")  # fmt: skip
    return int(after)


def next_cursor(rows: Sequence[Any], limit: int, column: str = "seq") -> str | None:
    """Of rows that were asked for with one more than ``limit``: the cursor of the next page, None at the end."""
    return str(getattr(rows[limit - 1], column)) if len(rows) > limit else None


def newest(
    connection: Connection,
    query: Select[Any],
    table: Table,
    *,
    before: int | None,
    limit: int,
    wanted: Callable[[Any], bool] | None = None,
) -> tuple[Sequence[Any], str | None]:
    """At most ``limit`` rows of the query, newest first, of a lower ``seq`` than ``before``, and the next cursor.

    With ``wanted`` only those, and a page that has looked through ``MOST_SCANNED`` rows ends early.
    """
    query = query.order_by(table.c.seq.desc()).limit(MOST_SCANNED if wanted else limit + 1)
    query = query if before is None else query.where(table.c.seq < before)
    if wanted is None:
        rows = connection.execute(query).all()
        return rows[:limit], next_cursor(rows, limit)
    found: list[Any] = []
    scanned, last = 0, None
    for row in connection.execution_options(yield_per=200).execute(query):
        scanned, last = scanned + 1, row.seq
        if wanted(row):
            found.append(row)
        if len(found) > limit:
            break
    ended_early = str(last) if scanned == MOST_SCANNED else None
    return found[:limit], next_cursor(found, limit) or ended_early
