"""A witness that sees no difference would make the whole demo worthless."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scigate.gateway_api.demo.witness import compare, in_folder, of_file


def test_equal_is_equal() -> None:
    finding = compare({"a": "1", "b/c": "2"}, {"b/c": "2", "a": "1"})
    assert (finding.equal, finding.wrong) == (2, ())


def test_every_difference_is_said() -> None:
    finding = compare({"lost": "1", "damaged": "2", "right": "3"}, {"damaged": "x", "right": "3", "new": "4"})
    assert finding.equal == 1
    assert finding.wrong == ("damaged has other bytes", "lost is missing", "new should not be there")


def test_files_are_read_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a").write_bytes(b"data")
    (tmp_path / "empty").touch()
    found = in_folder(tmp_path)
    assert found == {"deep/er/a": hashlib.sha256(b"data").hexdigest(), "empty": hashlib.sha256().hexdigest()}
    assert of_file(tmp_path / "empty") == found["empty"]
