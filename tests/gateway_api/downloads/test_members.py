"""Names in archives: nothing escapes, nothing overwrites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scigate.gateway_api.downloads.members import Names, Unpackable, exact_name, readable_name, top_folder
from scigate.gateway_api.downloads.spool import Spool


@pytest.fixture
def names() -> Iterator[Names]:
    spool = Spool()
    yield Names(spool)
    spool.close()


@pytest.mark.parametrize("name", [b"d//a", b"d/./a", b"d/../a", b"/a", b"d/", b"d/a\0b", b"..", b"d/.."])
def test_what_would_be_unpacked_elsewhere_is_refused(names: Names, name: bytes) -> None:
    with pytest.raises(Unpackable, match="elsewhere"):
        names.take(name)


def test_a_name_is_given_once(names: Names) -> None:
    assert names.take(b"d/a") is None
    with pytest.raises(Unpackable, match="same name"):
        names.take(b"d/a")


@pytest.mark.parametrize("order", [(b"d/a", b"d/a/b"), (b"d/a/b", b"d/a"), (b"d/a", b"d/a/b/c/d")])
def test_a_file_and_a_folder_never_have_the_same_name(names: Names, order: tuple[bytes, bytes]) -> None:
    names.take(order[0])
    with pytest.raises(Unpackable):
        names.take(order[1])


def test_folders_are_shared(names: Names) -> None:
    assert [names.take(name) for name in (b"d/x/a", b"d/y/a", b"d/x/b", b"d/x.y")] == [None] * 4


def test_names_that_some_systems_take_for_one_come_with_a_warning(names: Names) -> None:
    names.take("d/Ä".encode())
    for twin in ("d/ä", "d/A\u0308"):
        assert "case" in (names.take(twin.encode()) or "")


def test_bytes_are_kept_or_percent_encoded() -> None:
    path = "d/ü\udcff\\x%41"
    assert exact_name(path) == b"d/\xc3\xbc\xff\\x%41"
    assert readable_name(path) == "d/ü%FF%5Cx%41".encode()


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("", "lab"), ("run7/", "run7"), ("a/run7/", "run7"), ("x/SCIGATE-MANIFEST.json/", "SCIGATE-MANIFEST.json.d")],
)
def test_everything_is_below_one_folder(folder: str, expected: str) -> None:
    assert top_folder("lab", folder) == expected
