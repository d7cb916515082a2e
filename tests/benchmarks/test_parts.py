"""What the benchmark decides and computes: who runs when, ratios, what counts as delivered, what is measured."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import cases, compare, measure, sampler, summary, workspace
from benchmarks.others import AwsCli, S5cmd, Script
from benchmarks.peers import Job, Rclone, SciGate
from benchmarks.places import Folder

ROOT = Path(__file__).parents[2]
CASE = cases.Case(cases.Load("small", 3, 10), "local", "local")


def figures(wall: float, durable: float | None = None) -> measure.Figures:
    return measure.Figures(wall, wall / 2, 1000, durable or wall)


def test_every_round_has_every_peer_and_the_same_seed_the_same_order() -> None:
    plan = compare.Plan([CASE], rounds=40, seed=1)
    peers = [SciGate(), Rclone()]
    drawn = [[peer.name for peer in row] for row in compare.order(plan, CASE, peers)]
    assert {tuple(sorted(row)) for row in drawn} == {("rclone", "scigate")}
    assert len({tuple(row) for row in drawn}) == 2, "a fixed order favours one of them"
    assert drawn == [[peer.name for peer in row] for row in compare.order(plan, CASE, peers)]


def test_ratios_are_of_medians_and_below_one_where_scigate_is_faster() -> None:
    walls = {"scigate": [1.0, 2.0, 9.0], "rclone": [4.0, 4.0, 3.0]}
    runs = [compare.Run(n, peer, figures(wall)) for peer, row in walls.items() for n, wall in enumerate(row)]
    assert summary.ratio(runs, "wall") == {"median": 0.5, "min": 0.25, "max": 3.0}


def test_wrong_missing_and_surplus_files_end_the_benchmark(tmp_path: Path) -> None:
    source, destination = Folder(tmp_path / "source"), Folder(tmp_path / "destination")
    cases.make_files(CASE.load, source.path)
    expected = source.digests()
    cases.make_files(CASE.load, destination.path)
    job = Job(CASE, source, destination, tmp_path)
    with pytest.raises(cases.BenchmarkFailed, match="3 files"):
        compare.check(job, Rclone(), expected)
    for name in CASE.load.names():
        (destination.path / "data" / name).write_bytes((source.path / "data" / name).read_bytes())
    compare.check(job, Rclone(), expected)
    (destination.path / "data" / next(CASE.load.names())).unlink()
    with pytest.raises(cases.BenchmarkFailed, match="missing"):
        compare.check(job, Rclone(), expected)


def test_cpu_and_memory_of_a_program_are_its_own(tmp_path: Path) -> None:
    script = "import time; held = bytearray(b'x' * (64 << 20))\nwhile time.process_time() < 0.5: pass"
    code, seen = measure.run_measured([sys.executable, "-c", script], dict(os.environ), tmp_path / "log")
    assert code == 0
    assert 0.4 < seen.cpu < seen.wall + 0.1
    assert 64 << 20 < seen.rss < 200 << 20


def test_a_mixed_load_names_every_file_with_its_size() -> None:
    load = cases.Load("mixed", 2, 10, ((3, 20), (1, 5)))
    assert [size for _, size in load.sizes()] == [10, 10, 20, 20, 20, 5]
    assert len(set(load.names())) == load.files == 6
    assert load.bytes == 85


def test_who_has_no_way_to_do_a_case_is_left_out_with_the_reason() -> None:
    between, inside = (cases.Case(cases.SMALL, "s3", to) for to in ("s3", "inside"))
    for peer in (S5cmd(), AwsCli(), Script("boto3"), Script("s3fs")):
        assert "server" in (peer.cannot(between) or "")
        assert peer.cannot(inside) is None
        assert peer.cannot(CASE)


def test_room_is_asked_for_where_it_is_needed(tmp_path: Path) -> None:
    disk, memory = tmp_path / "disk", tmp_path / "memory"
    media = workspace.Media(disk, disk, memory)
    load = cases.Load("large", 1, 100)
    assert workspace.needs(cases.Case(load, "local", "local"), media, 10) == {disk: workspace.SPARE + 1100}
    assert workspace.needs(cases.Case(load, "s3", "s3"), media, 10) == {
        disk: workspace.SPARE + 100,
        memory: workspace.SPARE + 300,
    }


def test_the_sampler_sees_where_a_thread_is_and_what_it_uses() -> None:
    ended = threading.Event()

    def spin_here() -> None:
        while not ended.is_set():
            sum(range(1000))

    with sampler.Sampler() as seen:
        thread = threading.Thread(target=spin_here, name="spinner_3")
        thread.start()
        end = time.monotonic() + 120
        while time.monotonic() < end and not _is_seen(seen.roles.get("spinner"), "spin_here"):
            time.sleep(0.01)
        ended.set()
        thread.join()
    role = seen.roles["spinner"]
    assert role.samples > 0
    assert role.cpu_seconds > 0.05
    assert any("spin_here" in place for place in role.exclusive)


def _is_seen(role: sampler.Role | None, where: str) -> bool:
    """Whether a thread was found there, and for long enough that its seconds can be told."""
    if role is None or role.cpu_seconds <= 0.05:
        return False
    return any(where in place for place in list(role.exclusive))


@pytest.mark.parametrize(
    ("name", "role"), [("slot_0", "slot"), ("api-storage_3", "api-storage"), ("database-writer", "database-writer")]
)
def test_threads_of_one_kind_are_one_role(name: str, role: str) -> None:
    assert sampler.role_of(name) == role


def test_the_page_in_the_documentation_is_that_of_a_kept_result(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "benchmarks.md").read_text()
    pages = []
    for result in (ROOT / "benchmarks" / "results").glob("*.json"):
        if "cases" in json.loads(result.read_text()):
            assert bench.main([f"--page-from={result}", f"--page={tmp_path / result.stem}"]) == 0
            pages.append((tmp_path / result.stem).read_text())
    assert page in pages
