"""What the client notes of its uploads: for one process at a time, read again after any kill, cleared up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from scigate.gateway_api.client import Conflict, GatewayUnreachable, LocalFileError, records
from scigate.gateway_api.client.records import Begun

A = Begun("x/\udcff", "up1", "t1", (1, 2, 3))
B = Begun("b", "up2", "t1", (4, 5, 6))
PUT = ("http://127.0.0.1:1", Path("file"), "lab:/x", "fail")


def file_of(state_home: Path) -> Path:
    (path,) = (state_home / "scigate/uploads").iterdir()
    return path


def test_what_was_noted_is_there_after_a_kill_even_if_the_last_line_is_cut_off(state_home: Path) -> None:
    with records.opened(*PUT) as first:
        first.add([A, B])
        first.finish("b")
        key = first.key("request")
    with file_of(state_home).open("a") as file:
        file.write('{"sent": "x/')
    with records.opened(*PUT) as second:
        assert second.begun == {A.name: A, "b": B}
        assert second.sent == {"b"}
        assert second.key("request") == key != second.key("another request")
        second.finish(A.name)
    with records.opened(*PUT) as third:
        assert third.sent == {A.name, "b"}


def test_what_is_forgotten_stays_so_and_is_asked_for_under_a_new_key() -> None:
    with records.opened(*PUT) as first:
        first.add([A, B])
        key = first.key("request")
        first.forget("b")
    with records.opened(*PUT) as second:
        assert second.begun == {A.name: A}
        assert second.key("request") != key


def test_other_puts_have_notes_of_their_own() -> None:
    with records.opened(*PUT) as first:
        first.add([A])
        for other in (("http://127.0.0.1:2", *PUT[1:]), (*PUT[:2], "lab:/y", "fail"), (*PUT[:3], "overwrite")):
            with records.opened(*other) as second:
                assert second.begun == {}


def test_one_process_at_a_time() -> None:
    with records.opened(*PUT), pytest.raises(LocalFileError, match="is being sent"), records.opened(*PUT):
        pass
    with records.opened(*PUT) as again:
        again.remove()


def test_a_refusal_leaves_no_note_and_a_lost_answer_does(state_home: Path) -> None:
    with pytest.raises(Conflict), records.opened(*PUT):
        raise Conflict(409, {})
    assert list((state_home / "scigate/uploads").iterdir()) == []
    with pytest.raises(GatewayUnreachable), records.opened(*PUT):
        raise GatewayUnreachable("no answer")
    assert file_of(state_home).exists()


def test_notes_that_nobody_came_back_for_are_removed(state_home: Path) -> None:
    with records.opened(*PUT) as record:
        record.add([A])
    old = file_of(state_home)
    week = time.time() - 9 * 24 * 3600
    os.utime(old, (week, week))
    with records.opened(*PUT[:2], "lab:/other", "fail") as record:
        record.remove()
    assert not old.exists()


def test_without_a_folder_for_notes_it_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with records.opened(*PUT) as record:
        record.add([A])
        record.finish(A.name)
        assert record.begun == {A.name: A}
        record.remove()
