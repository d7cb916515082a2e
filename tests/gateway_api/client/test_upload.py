"""Local files before they are sent: looked at, watched, walked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from scigate.gateway_api.client import FileChanged, LocalFileError
from scigate.gateway_api.client.upload import look, walk
from scigate.storage_backends.digests import digest


def test_a_file_is_read_and_hashed_in_pieces(tmp_path: Path) -> None:
    path, data = tmp_path / "a", os.urandom(3_000_000)
    path.write_bytes(data)
    file, sent = look(path), []
    assert b"".join(file.chunks(0, len(data), sent.append)) == data
    assert sum(sent) == file.size == len(data)
    assert b"".join(file.chunks(999_999, 1_500_000)) == data[999_999:2_499_999]
    assert file.sha256() == hashlib.sha256(data).digest()
    assert file.crc64nvme(7, 2_000_000).hex() == digest("crc64nvme", [data[7:2_000_007]])


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten", "is replaced", "is touched"])
def test_a_file_that_changes_while_it_is_sent_is_an_error(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(1, 1))
    file = look(path)
    if change == "is replaced":
        (tmp_path / "b").write_bytes(b"x" * 100)
        os.utime(tmp_path / "b", ns=(1, 1))
        (tmp_path / "b").replace(path)
    elif change == "is touched":
        path.touch()
    else:
        path.write_bytes({"grows": b"x" * 101, "shrinks": b"x" * 99, "is rewritten": b"y" * 100}[change])
    with pytest.raises(FileChanged, match="was changed"):
        list(file.chunks(0, 100))


def test_the_last_bytes_of_a_changed_file_are_never_given_out(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(3 << 20))
    given = 0
    with pytest.raises(FileChanged):
        for chunk in look(path).chunks(0, 3 << 20):
            given += len(chunk)
            if given == 2 << 20:
                with path.open("r+b") as file:  # behind what has been read
                    file.write(b"changed")
    assert given == 2 << 20


def test_a_file_that_has_more_bytes_than_it_says_is_not_sent_as_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="has bytes"):
        look(Path("/proc/version"))
    (tmp_path / "empty").touch()
    assert look(tmp_path / "empty").size == 0


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("missing", "no file"), ("pipe", "not a regular file")):
        with pytest.raises(LocalFileError, match=reason):
            look(tmp_path / name)


def test_a_folder_is_walked_whole_and_in_order_and_links_are_refused(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "odd\nname \udcff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused: dict[str, str] = {}
    assert [name for _, name in walk(tmp_path, refused)] == ["a", "odd\nname \udcff", "b/1", "b/2"]
    assert sorted(Path(path).name for path in refused) == ["link", "loop", "pipe"]
