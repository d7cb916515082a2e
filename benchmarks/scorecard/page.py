"""The scorecard as a page."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from .verdict import Row, Verdict

MARKS: Final = {Verdict.MET: "🟢 met", Verdict.MISSED: "🔴 **missed**", Verdict.NOT_RUN: "⚪ not run"}

_PAGE: Final = """\
# Scorecard

Written by `./run scorecard`; [the same as JSON](scorecard.json). Every promise is tried on real servers, real disks
and real processes. **Where nothing went wrong in N tries, the true rate is below 3 / N with 95 % confidence**: so N is
printed, and "never" is not. A target that is missed says so, and a check that did not run counts as not run.

{summary}

{tables}

Commit {commit}, {started}, on {machine}.
The suites took {minutes:.0f} minutes with the seed {seed}: {tests}. The figures of benchmarks are those of
[their own page](reference/benchmarks.md). Each line says which command its figure came from, and the commit where it is
another one.

Run it yourself: `./run scorecard` (half an hour), or for longer `./run scorecard --kills 3000`; all options of the
suites can be given. What other runs have seen, such as `SCIGATE_EVIDENCE=FILE ./run crash --points`, is added with
`./run scorecard --seen FOLDER FILE`. How the tries are made:
[every byte accounted for](explanation/every-byte-accounted-for.md).
"""


def page(card: dict[str, Any], rows: list[Row]) -> str:
    """All of it, as Markdown."""
    return _PAGE.format(
        summary=summary(rows),
        tables="\n\n".join(_table(name, list(those)) for name, those in groupby(rows, lambda row: row.group)),
        commit=card["commit"], started=card["started"][:10], machine=card["machine"], minutes=card["seconds"] / 60,
        seed=card["seed"], tests=card["tests"],
    )  # fmt: skip


def summary(rows: list[Row]) -> str:
    """How many of each."""
    counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in Verdict}
    return ", ".join(f"{counts[verdict]} {MARKS[verdict].split(' ', 1)[1].strip('*')}" for verdict in Verdict) + "."


def _table(group: str, rows: list[Row]) -> str:
    head = [f"## {group}", "", "| promise | target | seen | by | |", "|---|---|---|---|---|"]
    return "\n".join(head + [_line(row) for row in rows])


def _line(row: Row) -> str:
    seen = row.figure + (f" at {row.commit}" if row.commit else "")
    by = ", ".join(f"`{command}`" for command in row.by)
    return f"| {row.promise} | {row.goal} | {seen} | {by} | {MARKS[row.verdict]} |"
