"""Downloads: whole or not at all, resumed after any break."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import (
    FilesNotFetched,
    Gateway,
    GatewayUnreachable,
    InvalidLocation,
    LocalFileError,
    NotFound,
)
from scigate.gateway_api.client.block_journal import BLOCK, BlockJournal
from scigate.gateway_api.client.download import locked, part_path

DATA = os.urandom(2_500_000)


@pytest.fixture
def source(gateway_process: Any, request: pytest.FixtureRequest) -> str:
    """The location of a file with ``DATA`` that is this test's own."""
    name = f"{abs(hash(request.node.name)):x}.bin"
    (gateway_process.files("lab") / name).write_bytes(DATA)
    return f"lab:/{name}"


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_under_its_name(gateway: Gateway, source: str, tmp_path: Path) -> None:
    counted: list[int] = []
    got = gateway.get(source, tmp_path / "deep/a.bin", received=counted.append)
    assert got.path.read_bytes() == DATA
    assert (got.size, sum(counted), got.resumed_from) == (len(DATA), len(DATA), 0)
    assert left_over(tmp_path / "deep") == ["a.bin"]


def test_into_a_folder_it_keeps_its_name(gateway: Gateway, source: str, tmp_path: Path) -> None:
    assert gateway.get(source, tmp_path).path == tmp_path / source.rpartition("/")[2]


def test_every_broken_connection_is_resumed_where_it_broke(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], source: str, tmp_path: Path
) -> None:
    cutting_proxy.cut_after = 600_000
    counted: list[int] = []
    got = through_proxy().get(source, tmp_path / "a", received=counted.append)
    assert got.path.read_bytes() == DATA
    assert sum(counted) == len(DATA), "no byte is fetched twice"
    assert cutting_proxy.connections >= 4


def break_off(cutting_proxy: Any, gateway: Gateway, source: str, target: Path) -> None:
    """Leave a part file behind, as a process that died would."""
    cutting_proxy.cut_after = 800_000

    def die(count: int) -> None:
        cutting_proxy.cut_after = 0
        gateway._session.patience = timedelta(0)

    with pytest.raises(GatewayUnreachable, match="goes on where it stopped"):
        gateway.get(source, target, received=die)
    assert 0 < part_path(target).stat().st_size < len(DATA)
    cutting_proxy.cut_after = None


def test_another_process_goes_on_where_the_first_broke_off(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], source: str, tmp_path: Path
) -> None:
    break_off(cutting_proxy, through_proxy(), source, tmp_path / "a")
    size = part_path(tmp_path / "a").stat().st_size
    got = through_proxy().get(source, tmp_path / "a")
    assert (got.resumed_from, got.path.read_bytes()) == (size, DATA)
    assert left_over(tmp_path) == ["a"]


def test_a_source_that_changed_in_between_is_fetched_anew(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], gateway_process: Any, source: str, tmp_path: Path
) -> None:
    break_off(cutting_proxy, through_proxy(), source, tmp_path / "a")
    changed = DATA[::-1]
    (gateway_process.files("lab") / source.rpartition("/")[2]).write_bytes(changed)
    assert through_proxy().get(source, tmp_path / "a").path.read_bytes() == changed


def test_the_part_of_another_file_is_not_used(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], gateway_process: Any, source: str, tmp_path: Path
) -> None:
    break_off(cutting_proxy, through_proxy(), source, tmp_path / "a")
    (gateway_process.files("archive") / "other").write_bytes(b"other")
    assert through_proxy().get("archive:/other", tmp_path / "a").path.read_bytes() == b"other"


@pytest.mark.parametrize("harm", ["bytes changed", "bytes added", "bytes lost", "journal changed"])
def test_only_what_was_written_is_gone_on_with(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], source: str, tmp_path: Path, harm: str
) -> None:
    break_off(cutting_proxy, through_proxy(), source, tmp_path / "a")
    path = part_path(tmp_path / "a")
    size = path.stat().st_size
    with path.open("r+b") as part:
        if harm == "bytes changed":
            part.write(b"evil")
        elif harm == "bytes added":
            part.seek(0, os.SEEK_END)
            part.write(b"evil")
        elif harm == "bytes lost":
            part.truncate(size - 4)
    if harm == "journal changed":
        with path.with_name(path.name + ".json").open("a") as journal:
            journal.write("4 0123")
    got = through_proxy().get(source, tmp_path / "a")
    assert got.path.read_bytes() == DATA
    assert got.resumed_from == (0 if harm in ("bytes changed", "bytes lost") else size)
    assert left_over(tmp_path) == ["a"]


def test_of_a_part_the_blocks_before_the_damaged_one_are_gone_on_with(tmp_path: Path) -> None:
    data = os.urandom(3 * BLOCK)
    journal = BlockJournal(tmp_path / "journal")
    journal.begin("resource", '"etag"')
    for start in range(0, len(data), 1 << 20):
        journal.wrote(memoryview(data)[start : start + (1 << 20)])
    (tmp_path / "part").write_bytes(data[: 2 * BLOCK] + bytes(BLOCK))
    with io.FileIO(tmp_path / "part", "rb") as part:
        assert BlockJournal(tmp_path / "journal").proven(part) == 2 * BLOCK
    assert BlockJournal(tmp_path / "journal").etag("resource") == '"etag"'
    assert BlockJournal(tmp_path / "journal").etag("another") is None


def test_a_damaged_part_costs_its_bytes_where_the_storage_vouches_for_a_digest(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "up").write_bytes(DATA)
    gateway.put(tmp_path / "up", "mem:/damaged").wait(120, progress=False)
    assert gateway.stat("mem:/damaged").digests
    break_off(cutting_proxy, through_proxy(), "mem:/damaged", tmp_path / "a")
    with part_path(tmp_path / "a").open("r+b") as part:
        part.write(b"damaged!")
    assert gateway.get("mem:/damaged", tmp_path / "a").path.read_bytes() == DATA


def test_a_file_that_exists_is_kept_unless_asked_otherwise(gateway: Gateway, source: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(LocalFileError, match="exists already"):
        gateway.get(source, tmp_path / "a")
    assert (tmp_path / "a").read_text() == "mine"
    assert gateway.get(source, tmp_path / "a", overwrite=True).path.read_bytes() == DATA


def test_a_file_that_appears_meanwhile_is_kept(gateway: Gateway, source: str, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="exists already"):
        gateway.get(source, tmp_path / "a", received=lambda count: (tmp_path / "a").write_text("mine"))
    assert (tmp_path / "a").read_text() == "mine"


def test_two_downloads_to_one_place_do_not_mix(gateway: Gateway, source: str, tmp_path: Path) -> None:
    with part_path(tmp_path / "a").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LocalFileError, match="Another download"):
            gateway.get(source, tmp_path / "a")


def test_who_opens_the_part_file_while_it_gets_its_name_leaves_that_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, lock = tmp_path / "a", fcntl.flock
    earlier = locked(target, "resource")
    first = earlier.__enter__()
    first.append(DATA)

    def late(file: Any, how: int) -> None:
        monkeypatch.undo()
        first.publish(overwrite=False)
        earlier.__exit__(None, None, None)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(target, "resource") as second:
        second.append(b"another")
        assert target.read_bytes() == DATA
        assert part_path(target).read_bytes() == b"another"


def test_a_part_file_that_has_got_its_name_already_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    part_path(tmp_path / "a").hardlink_to(tmp_path / "a")  # who published it died before it removed the other name
    with locked(tmp_path / "a", "resource") as part:
        part.append(b"another")
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_link_in_place_of_the_part_file_is_not_followed(gateway: Gateway, source: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    part_path(tmp_path / "a").symlink_to(tmp_path / "victim")
    with pytest.raises(LocalFileError, match="cannot be written"):
        gateway.get(source, tmp_path / "a")
    assert (tmp_path / "victim").read_text() == "mine"


def test_nothing_is_left_of_a_file_that_is_not_there(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        gateway.get("lab:/not-there", tmp_path / "a")
    assert left_over(tmp_path) == []


def test_an_empty_file(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    (gateway_process.files("lab") / "empty").write_bytes(b"")
    assert gateway.get("lab:/empty", tmp_path / "a").path.read_bytes() == b""


def test_a_folder_arrives_with_its_tree(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    for name in ("1", "x/2", "x/y/3"):
        path = gateway_process.files("lab") / "fetched" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    got = gateway.get_folder("lab:/fetched/", tmp_path / "here")
    assert len(got) == 3
    assert {name: (tmp_path / "here" / name).read_text() for name in ("1", "x/2", "x/y/3")} == {
        name: name for name in ("1", "x/2", "x/y/3")
    }


def test_what_of_a_folder_cannot_be_fetched_is_said_and_the_rest_comes(
    gateway: Gateway, gateway_process: Any, tmp_path: Path
) -> None:
    folder = gateway_process.files("lab") / "mixed"
    folder.mkdir()
    (folder / "good").write_text("good")
    (folder / "link").symlink_to("good")
    with pytest.raises(FilesNotFetched, match="lab:/mixed/link") as raised:
        gateway.get_folder("lab:/mixed/", tmp_path / "here")
    assert list(raised.value.failed) == ["lab:/mixed/link"]
    assert [got.path.name for got in raised.value.arrived] == ["good"]
    assert (tmp_path / "here/good").read_text() == "good"


def test_a_file_of_a_folder_goes_under_its_own_name_or_nowhere(
    gateway: Gateway, gateway_process: Any, tmp_path: Path
) -> None:
    (gateway_process.files("lab") / "named").mkdir()
    (gateway_process.files("lab") / "named/a").write_text("theirs")
    (tmp_path / "here/a").mkdir(parents=True)
    (tmp_path / "here/a/a").write_text("mine")
    with pytest.raises(FilesNotFetched) as raised:
        gateway.get_folder("lab:/named/", tmp_path / "here", overwrite=True)
    assert list(raised.value.failed) == ["lab:/named/a"]
    assert (tmp_path / "here/a/a").read_text() == "mine"


def test_of_two_files_whose_names_are_one_here_none_takes_the_place_of_the_other(
    gateway: Gateway, gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.client.threads.AT_ONCE", 1)  # else they meet at their part file
    for name in ("x/b", "x//b"):
        (gateway_process.files("lab") / "twin").write_text(name)
        gateway.copy("lab:/twin", f"mem:/twins/{name}", overwrite="overwrite").wait()
    with pytest.raises(FilesNotFetched) as raised:
        gateway.get_folder("mem:/twins/", tmp_path / "here", overwrite=True)
    (failed,), (arrived,) = raised.value.failed, raised.value.arrived
    other = {"mem:/twins/x/b": "x//b", "mem:/twins/x//b": "x/b"}[failed]
    assert arrived.path.read_text() == other


@pytest.mark.parametrize("folder", ["lab:/", "lab:/some-folder/"])
def test_a_folder_is_not_fetched_as_if_it_were_a_file(gateway: Gateway, tmp_path: Path, folder: str) -> None:
    with pytest.raises(InvalidLocation, match="get_folder"):
        gateway.get(folder, tmp_path / "x")
    assert left_over(tmp_path) == []
