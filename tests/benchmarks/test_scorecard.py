"""The scorecard shows what is missed and what did not run, and adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scorecard import __main__ as scorecard
from benchmarks.scorecard import counts, figures
from benchmarks.scorecard.page import page
from benchmarks.scorecard.verdict import Row, Verdict
from tests import evidence

POWER = next(promise for promise in counts.PROMISES if promise.areas == ("crash.power",))


def verdict(total: counts.Total | None) -> Verdict:
    return counts.rows({} if total is None else {"crash.power": total}, promises=[POWER])[0].verdict


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


def test_evidence_of_several_runs_adds_up_and_says_where_it_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, line in enumerate(
        [{"command": "./run test", "commit": "new"}, {"command": "./run crash", "commit": "old"}]
    ):
        about = {"area": "crash.power", "runs": 6, "bad": number, "seconds": 1.0}
        (tmp_path / str(number)).write_text(json.dumps(about | line) + "\n")
    (row,) = counts.rows(counts.read(tmp_path / "0", tmp_path / "1", tmp_path / "none"), "new", [POWER])
    assert (row.figure, row.verdict, row.by, row.commit) == (
        "1 of 12",
        Verdict.MISSED,
        ("./run crash", "./run test"),
        "old",
    )
    assert "| 1 of 12 at old | `./run crash`, `./run test` |" in _page([row])
    report = '<testsuites><testsuite timestamp="2026-01-01T00:00:00" time="60"><testcase/></testsuite></testsuites>'
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "report.xml").write_text(report)
    (tmp_path / "0").rename(tmp_path / "seen" / "evidence")
    twice = [str(tmp_path / "seen"), str(tmp_path / "1"), str(tmp_path / "1")]
    assert scorecard.main(["--folder", str(tmp_path), "--seen", *twice]) == 0
    rows = {row["promise"]: row for row in json.loads((tmp_path / "scorecard.json").read_text())["rows"]}
    assert rows[POWER.promise]["tries"] == 12, "a file that is named twice counts once"


def test_the_command_of_a_figure_names_no_path_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path / "evidence"))
    monkeypatch.setenv(evidence.COMMAND, f"./run test --junitxml={tmp_path}/x tests/crash --basetemp {tmp_path} -k one")
    evidence._origin.cache_clear()
    try:
        evidence.record("crash.power", runs=1, bad=0, seconds=1)
    finally:
        evidence._origin.cache_clear()
    assert json.loads((tmp_path / "evidence").read_text())["command"] == "./run test tests/crash -k one"


def _page(rows: list[Row]) -> str:
    card = dict.fromkeys(("commit", "started", "machine", "seed", "tests"), "") | {"seconds": 1}
    return page(card, rows)


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


def test_a_case_that_was_measured_again_counts(tmp_path: Path) -> None:
    target = next(target for target in figures.PEERS if "inside" in target.promise)
    for name, ratio in (("full", 6.0), ("again", 0.3)):
        cases = [{"name": "small-s3-inside", "ratios": {"wall": {"median": ratio}}}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"cases": cases, "versions": {"commit": name}}))
    (row,) = figures.rows(tmp_path, "abc", [target])
    assert (row.figure, row.verdict, row.commit) == ("0.3", Verdict.MET, "again")
    (other,) = figures.rows(tmp_path, "abc", [figures.PEERS[0]])
    assert other.verdict is Verdict.NOT_RUN


def test_without_any_test_the_card_says_that_nothing_ran(tmp_path: Path) -> None:
    assert scorecard.main(["--folder", str(tmp_path), "-k", "no_test_has_this_name", "-n", "0"]) == 0
    card = json.loads((tmp_path / "scorecard.json").read_text())
    measured = {target.group for target in figures.TARGETS}
    counted = [row for row in card["rows"] if row["group"] not in measured]
    assert {row["verdict"] for row in counted} == {"not run"}
    assert "⚪ not run" in (tmp_path / "scorecard.md").read_text()
