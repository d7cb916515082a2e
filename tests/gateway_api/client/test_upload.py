"""Local files before they are sent: hashed, watched, walked."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest
from scigate.gateway_api.client import LocalFileError
from scigate.gateway_api.client.upload import inspect, walk


def test_a_file_is_hashed_and_sent_in_pieces(tmp_path: Path) -> None:
    path, data = tmp_path / "a", os.urandom(3_000_000)
    path.write_bytes(data)
    file, sent = inspect(path), []
    assert b"".join(file.chunks(sent.append)) == data
    assert sum(sent) == file.size == len(data)
    assert file.repr_digest == f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_a_file_that_changes_while_it_is_sent_is_an_error(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    file = inspect(path)
    path.write_bytes({"grows": b"x" * 101, "shrinks": b"x" * 99, "is rewritten": b"y" * 100}[change])
    with pytest.raises(LocalFileError, match="was changed"):
        list(file.chunks(lambda count: None))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("missing", "no file"), ("pipe", "not a regular file")):
        with pytest.raises(LocalFileError, match=reason):
            inspect(tmp_path / name)


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
