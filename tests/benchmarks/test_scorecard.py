"""The scorecard shows what is missed and what did not run, and adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scorecard import __main__ as scorecard
from benchmarks.scorecard import counts, figures
from benchmarks.scorecard.verdict import Verdict
from tests import evidence

POWER = next(promise for promise in counts.PROMISES if promise.areas == ("crash.power",))


def verdict(total: counts.Total | None) -> Verdict:
    return counts.rows({} if total is None else {"crash.power": total}, [POWER])[0].verdict


def test_a_promise_is_met_by_enough_tries_none_of_them_bad() -> None:
    assert verdict(counts.Total(POWER.least, 0)) is Verdict.MET
    assert verdict(counts.Total(POWER.least - 1, 0)) is Verdict.MISSED
    assert verdict(counts.Total(1000, 1)) is Verdict.MISSED
    assert verdict(None) is Verdict.NOT_RUN
    assert verdict(counts.Total()) is Verdict.NOT_RUN


def test_what_the_suites_wrote_down_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path / "evidence"))
    evidence.record("crash.points", runs=100, bad=0, seconds=10, seed=7)
    evidence.record("crash.random", runs=150, bad=0, seconds=20)
    evidence.record("nobody.knows", runs=3, bad=1, seconds=0.1)
    rows = {row.promise: row for row in counts.rows(counts.read(tmp_path / "evidence"))}
    kills = rows[counts.PROMISES[0].promise]
    assert (kills.tries, kills.seconds, kills.verdict) == (250, 30, Verdict.MET)
    assert kills.figure == "0 of 250 (below 1.2 % with 95 %)"
    assert rows["nobody.knows"].verdict is Verdict.MISSED


def test_a_figure_is_judged_on_its_side_and_names_its_commit(tmp_path: Path) -> None:
    target = figures.Target("G", "load", "submits", 500, "/s", figures.in_result("rate"), at_least=True)
    assert figures.rows(tmp_path, "abc", [target])[0].verdict is Verdict.NOT_RUN
    for rate, expected in ((499.0, Verdict.MISSED), (500.0, Verdict.MET)):
        (tmp_path / "load.json").write_text(json.dumps({"rate": rate, "versions": {"commit": "old"}}))
        row = figures.rows(tmp_path, "abc", [target])[0]
        assert (row.verdict, row.commit, row.goal) == (expected, "old", "at least 500/s")


def test_every_target_that_is_looked_for_is_in_the_results_of_the_repository() -> None:
    found = {target.promise for target in figures.TARGETS}
    assert len(found) == len(figures.TARGETS), "each has a name of its own"
    measured = [target for target in figures.TARGETS if (scorecard.RESULTS / f"{target.name}.json").exists()]
    load = json.loads((scorecard.RESULTS / "load.json").read_text())
    left_out = {"files active at once"} - ({"files active at once"} if "active" in load else set())
    left_out |= set() if "million" in load else {"files submitted in one request", "memory of the gateway for that"}
    rows = figures.rows(scorecard.RESULTS, "x", measured)
    assert len(rows) >= len(figures.PEERS)
    assert {row.promise for row in rows if row.verdict is Verdict.NOT_RUN} == left_out


def test_without_any_test_the_card_says_that_nothing_ran(tmp_path: Path) -> None:
    assert scorecard.main(["--folder", str(tmp_path), "-k", "no_test_has_this_name", "-n", "0"]) == 0
    card = json.loads((tmp_path / "scorecard.json").read_text())
    counted = [row for row in card["rows"] if not row["group"].startswith(("Peers", "Uploads", "Load", "Soak"))]
    assert {row["verdict"] for row in counted} == {"not run"}
    assert "⚪ not run" in (tmp_path / "scorecard.md").read_text()
