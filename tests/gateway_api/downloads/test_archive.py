"""A folder as an archive: what is in it, what is left out and why, and when it breaks off instead."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.downloads.archive import Archive, Folder
from scigate.gateway_api.downloads.downloads import Places
from scigate.gateway_api.downloads.manifest import Origin
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import ArchiveKind
from scigate.storage_backends.backend import Backend, Buffer, Entry, Kind
from scigate.storage_backends.digests import digest
from scigate.storage_backends.errors import (
    AccessDenied,
    DigestMismatch,
    NotFound,
    SourceChanged,
    StorageError,
    Truncated,
    Unreachable,
)
from scigate.storage_backends.registry import BackendRegistry

FILES = {"d/a": b"first", "d/b/c": b"x" * 3_000_000, "d/empty": b"", "d/z": b"last"}


class Contents:
    """The part of a storage that archives use, over a dictionary; ``errors`` are raised for their paths."""

    def __init__(self, files: dict[str, bytes], errors: dict[str, StorageError] | None = None) -> None:
        self.files, self.errors = files, errors or {}
        self.extra: list[Entry] = []
        self.stale: dict[str, bytes] = {}
        self.cut: set[str] = set()

    def stat(self, path: str) -> Entry:
        return Entry(path, size=len(self.files[path]), version=digest("crc32c", [self.files[path]]))

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        listed = [self.stat(path) for path in self.files] + self.extra
        for entry in sorted(listed, key=lambda entry: entry.path):
            if entry.path.startswith(prefix) and (after is None or entry.path > after):
                self.files.update({entry.path: self.stale[entry.path]} if entry.path in self.stale else {})
                yield entry

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        if path in self.errors:
            raise self.errors[path]
        if version != self.stat(path).version:
            raise SourceChanged("it was written to", path=path)
        yield self.files[path][:1]
        if path in self.cut:
            raise Unreachable("the storage has gone", path=path)
        if len(self.files[path]) > 1:
            yield self.files[path][1:]


def archive(backend: Contents | Backend, kind: str = "zip", after: str | None = None, path: str = "d/") -> Archive:
    folder = Folder(backend, path, "d", after)  # type: ignore[arg-type]  # only what archives use
    return Archive(folder, Origin("lab", path, after), ArchiveKind(kind), lambda: None)


def unpacked(data: bytes, kind: str) -> dict[str, bytes]:
    """Names and bytes in the order of the archive."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as read:
            assert read.testzip() is None
            return {info.filename: read.read(info) for info in read.infolist()}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def manifest_of(found: dict[str, bytes]) -> dict[str, Any]:
    assert list(found)[-1] == "SCIGATE-MANIFEST.json"
    manifest: dict[str, Any] = json.loads(found["SCIGATE-MANIFEST.json"])
    return manifest


def packed(backend: Contents | Backend, kind: str = "zip", **options: Any) -> tuple[dict[str, bytes], dict[str, Any]]:
    pieces = archive(backend, kind, **options)
    try:
        found = unpacked(b"".join(pieces), kind)
    finally:
        pieces.close()
    manifest = manifest_of(found)
    del found["SCIGATE-MANIFEST.json"]
    return found, manifest


class Noting(Contents):
    """Notes how much is asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.asked = list[int | None]()

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        self.asked.append(length)
        return super().read(path, offset, length, version=version)


def test_a_file_is_asked_for_as_a_whole_with_which_a_storage_sends_its_checksum() -> None:
    contents = Noting(FILES)
    assert packed(contents)[0] == FILES
    assert contents.asked == [None, None, None]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_all_files_are_in_it_and_the_manifest_last(kind: str) -> None:
    found, manifest = packed(Contents(FILES), kind)
    assert found == FILES
    assert (manifest["complete"], manifest["count"], manifest["bytes"]) == (True, 4, sum(map(len, FILES.values())))
    assert (manifest["storage"], manifest["folder"], manifest["after"]) == ("lab", "d/", None)
    for file in manifest["files"]:
        data = FILES[file["path"]]
        assert (file["name"], file["size"]) == (file["path"], len(data))
        assert file["sha-256"] == hashlib.sha256(data).hexdigest()
        assert file["crc64nvme"] == digest("crc64nvme", [data])
        assert file["version"] == digest("crc32c", [data])
    assert manifest["skipped"] == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_it_goes_on_behind_the_last_whole_file(kind: str) -> None:
    found, manifest = packed(Contents(FILES), kind, after="d/b/c")
    assert set(found) == {"d/empty", "d/z"}
    assert manifest["after"] == "d/b/c"
    nothing, manifest = packed(Contents(FILES), kind, after="d/z")
    assert (nothing, manifest["files"], manifest["complete"]) == ({}, [], True)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_is_cut_off_is_seen_to_be(kind: str) -> None:
    whole = b"".join(archive(Contents(FILES), kind))
    last_word = whole.rindex(b'"complete"')  # what is behind it in a tar are zeros
    for part in (0, 1, 512, 2_000_000, last_word, len(whole) - 1 if kind == "zip" else last_word + 1):
        with pytest.raises((zipfile.BadZipFile, tarfile.TarError, AssertionError, IndexError)):
            manifest_of(unpacked(whole[:part], kind))


@pytest.mark.parametrize("error", [AccessDenied("no", path="d/b/c"), NotFound("gone", path="d/b/c")])
def test_a_file_that_cannot_be_read_is_left_out_with_the_reason(error: StorageError) -> None:
    found, manifest = packed(Contents(FILES, {"d/b/c": error}))
    assert set(found) == set(FILES) - {"d/b/c"}
    assert manifest["skipped"] == [{"path": "d/b/c", "code": error.code, "reason": error.message}]
    assert manifest["complete"] is True


@pytest.mark.parametrize("error", [Unreachable("away", path="d/b/c"), Truncated("short", path="d/b/c")])
def test_a_storage_that_is_away_ends_it(error: StorageError) -> None:
    pieces = archive(Contents(FILES, {"d/b/c": error}))
    with pytest.raises(type(error)):
        list(pieces)
    pieces.close()


def test_a_file_that_fails_in_the_middle_ends_it() -> None:
    contents = Contents(FILES)
    contents.cut = {"d/b/c"}
    with pytest.raises(Unreachable):
        list(archive(contents))


def test_a_file_that_is_shorter_than_listed_ends_it() -> None:
    contents = Contents({})
    contents.files = dict(FILES)
    contents.stat = lambda path: Entry(path, size=len(FILES[path]) + 1)  # type: ignore[method-assign]
    contents.read = lambda path, *_, **__: iter([FILES[path] or b"x"])  # type: ignore[method-assign]
    with pytest.raises(Truncated):
        list(archive(contents))


def test_a_file_written_to_since_it_was_listed_comes_as_it_is_now() -> None:
    contents = Contents(dict(FILES))
    contents.stale = {"d/a": b"second and longer"}
    found, manifest = packed(contents)
    assert found["d/a"] == b"second and longer"
    assert manifest["files"][0]["size"] == len(b"second and longer")


def test_bytes_that_are_not_those_the_storage_vouches_for_end_it() -> None:
    contents = Contents(FILES)
    plain = contents.stat
    contents.stat = lambda path: Entry(  # type: ignore[method-assign]
        path, size=plain(path).size, version=plain(path).version, digests={"sha-256": "00" * 32}
    )
    with pytest.raises(DigestMismatch):
        list(archive(contents))


def test_what_is_no_regular_file_or_has_no_place_is_left_out_with_the_reason() -> None:
    contents = Contents({"d/a": b"1", "d/a/b": b"2", "d//c": b"3", "d/./e": b"4", "d/ok": b"5"})
    contents.extra = [Entry("d/link", Kind.OTHER, note="a link is not followed")]
    found, manifest = packed(contents)
    assert found == {"d/a": b"1", "d/ok": b"5"}
    reasons = {entry["path"]: entry["reason"] for entry in manifest["skipped"]}
    assert set(reasons) == {"d/a/b", "d//c", "d/./e", "d/link"}
    assert reasons["d/link"] == "a link is not followed"


def test_names_are_exact_in_tar_and_readable_in_zip() -> None:
    files = {"d/not-utf8-\udcff": b"1", "d/back\\slash": b"2", "d/line\nbreak": b"3"}
    assert packed(Contents(files), "tar")[0] == files
    found, manifest = packed(Contents(files), "zip")
    assert found == {"d/not-utf8-%FF": b"1", "d/back%5Cslash": b"2", "d/line\nbreak": b"3"}
    assert {file["path"]: file["name"] for file in manifest["files"]}["d/not-utf8-\udcff"] == "d/not-utf8-%FF"


def test_a_real_folder(tmp_path: Path) -> None:
    kind = BackendRegistry().get("posix")
    backend = kind.build(kind.options.model_validate({"root": str(tmp_path)}))
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "d" / "nothing in it").mkdir()
    (tmp_path / "d" / "link").symlink_to("a")
    found, manifest = packed(backend, "tar")
    assert found == FILES
    assert [entry["path"] for entry in manifest["skipped"]] == ["d/link"]


def test_places_are_given_back_and_shared() -> None:
    places = Places(total=3, per_user=2)
    first, _ = places.take("ada"), places.take("ada")
    with pytest.raises(Problem) as own:
        places.take("ada")
    places.take("bo")
    with pytest.raises(Problem) as everybody:
        places.take("cy")
    assert (own.value.status, everybody.value.status) == (429, 503)
    assert own.value.retry_after
    first()
    places.take("cy")


def test_closing_twice_gives_one_place_back() -> None:
    given_back: list[int] = []
    pieces = Archive(
        Folder(Contents(FILES), "d/", "d", None),  # type: ignore[arg-type]
        Origin("lab", "d/", None), ArchiveKind.TAR, lambda: given_back.append(1),
    )  # fmt: skip
    next(pieces)
    pieces.close()
    pieces.close()
    assert given_back == [1]
