"""Reading the journal: for whom, of what, from where on."""

from __future__ import annotations

import json

import pytest
from scigate.gateway_api.events import journal as module
from scigate.gateway_api.resources import Event

from .conftest import ADAS, BOS, Book

ALL = ("transfers",)


def test_everybody_sees_their_own_and_an_admin_everything(book: Book) -> None:
    ids = [str(book.write(of)) for of in (ADAS, BOS, ADAS)]
    read = book.journal.read
    assert [one.id for one in read(0, 10, owner=None, topics=ALL)] == ids
    assert [one.id for one in read(0, 10, owner="ada", topics=ALL)] == [ids[0], ids[2]]
    assert [one.id for one in read(0, 10, owner="bo", topics=(f"transfer:{BOS}",))] == [ids[1]]
    assert read(0, 10, owner="bo", topics=(f"transfer:{ADAS}",)) == []
    assert [one.id for one in read(int(ids[0]), 1, owner=None, topics=ALL)] == [ids[1]]
    assert [one.id for one in read(0, 10, owner=None, topics=(f"transfer:{ADAS}", f"transfer:{BOS}"))] == ids


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("scigate.transfer.done",), ["scigate.transfer.done"]),
        (("scigate.file.*",), ["scigate.file.claim"]),
        (("scigate.*",), ["scigate.file.claim", "scigate.transfer.done", "scigate.transfer.d_ne"]),
        (("scigate.transfer.d_ne",), ["scigate.transfer.d_ne"]),
        (("scigate.transfer.failed",), []),
    ],
)
def test_only_the_types_that_are_wanted(book: Book, types: tuple[str, ...], expected: list[str]) -> None:
    for kind in ("file.claim", "transfer.done", "transfer.d_ne"):
        book.write(ADAS, kind)
    assert [one.type for one in book.journal.read(0, 10, owner="ada", topics=ALL, types=types)] == expected


def test_a_question_looks_through_a_part_and_goes_on_there(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPAN", 5)
    for _ in range(12):
        book.write(ADAS)
    last = book.write(BOS)
    first = book.journal.scan(0, 10, owner="bo", topics=ALL)
    assert (list(first.lines), first.cursor, first.end) == ([], 5, False)
    assert [one.id for one in book.journal.read(0, 10, owner="bo", topics=ALL)] == [str(last)]
    end = book.journal.scan(last, 10, owner="bo", topics=ALL)
    assert (list(end.lines), end.cursor, end.end) == ([], last, True)


def test_a_line_is_the_same_event_in_both_forms(book: Book) -> None:
    book.write(ADAS, "transfer.submitted", files=2)
    (line,) = book.journal.scan(0, 10, owner=None, topics=ALL).lines
    assert json.loads(line.text) == line.event.model_dump(mode="json")
    assert line.event == Event.model_validate_json(line.text)
    assert b"\n" not in line.text
    assert (line.event.source, line.event.subject) == (f"/api/v1/transfers/{ADAS}", None)
    assert line.event.data == {"transfer": ADAS, "owner": "ada", "label": "of ada", "files": 2}
