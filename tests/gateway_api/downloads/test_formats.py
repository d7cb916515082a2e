"""The bytes of archives, read by others: Python's own readers, and unzip and tar where they are installed."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scigate.gateway_api.downloads.members import Member
from scigate.gateway_api.downloads.spool import Spool
from scigate.gateway_api.downloads.tar import Tar
from scigate.gateway_api.downloads.zip import DIRECTORY, FULL, Zip

WHEN = datetime(2026, 5, 1, 10, 0, 7, 250_000, UTC)
FILES = {
    b"d/a": b"hello",
    b"d/empty": b"",
    "d/grüße \u202e\n".encode(): b"x" * 5000,
    b"d/" + b"n" * 255: b"long",
}


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.close()


def pack(form: Tar | Zip, files: dict[bytes, bytes], when: datetime | None = WHEN) -> bytes:
    archive = b"".join(
        form.begin(Member(name, len(data), when)) + data + form.end(zlib.crc32(data)) for name, data in files.items()
    )
    return archive + b"".join(form.finish())


def test_zip_is_read_by_python(spool: Spool) -> None:
    with zipfile.ZipFile(io.BytesIO(pack(Zip(spool), FILES))) as read:
        assert read.testzip() is None
        assert {name.encode(): read.read(name) for name in read.namelist()} == FILES
        for info in read.infolist():
            assert info.flag_bits & 0x808 == 0x808
            assert info.date_time == (2026, 5, 1, 10, 0, 6)
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.external_attr >> 16 == 0o100644


def test_zip_is_unpacked_by_unzip(spool: Spool, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    (tmp_path / "a.zip").write_bytes(pack(Zip(spool), {b"d/a": b"hello", b"d/b/c": b"x" * 100_000}))
    done = subprocess.run(["unzip", "-q", "a.zip"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d" / "b" / "c").read_bytes() == b"x" * 100_000
    assert (tmp_path / "d" / "a").stat().st_mtime == int(WHEN.timestamp())


def test_tar_is_read_by_python_byte_for_byte(spool: Spool) -> None:
    files = {**FILES, b"d/not-utf8-\xff\xfe": b"odd"}
    data = pack(Tar(spool), files)
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as read:
        members = read.getmembers()
        found = {member.name.encode("utf-8", "surrogateescape"): read.extractfile(member) for member in members}
        assert {name: file.read() for name, file in found.items() if file} == files
        assert {member.mtime for member in members} == {int(WHEN.timestamp())}


def test_tar_is_unpacked_by_tar(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(pack(Tar(spool), FILES))
    done = subprocess.run(["tar", "xf", "a.tar"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {b"d/" + bytes(path.name, "utf-8"): path.read_bytes() for path in (tmp_path / "d").iterdir()} == FILES


def test_only_a_name_that_is_not_utf8_is_said_to_be_binary(spool: Spool) -> None:
    assert b"hdrcharset" not in pack(Tar(spool), {"d/ü".encode(): b"hello", b"d/" + b"n" * 300: b"long"})
    assert b"hdrcharset=BINARY" in pack(Tar(spool), {b"d/\xff": b"hello"})


def test_times_that_a_format_cannot_hold_do_no_harm(spool: Spool) -> None:
    for when in (None, datetime(1700, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)):
        single = Spool()
        with zipfile.ZipFile(io.BytesIO(pack(Zip(single), {b"a": b"x"}, when))) as read:
            assert read.read("a") == b"x"
        single.close()
        with tarfile.open(fileobj=io.BytesIO(pack(Tar(spool), {b"a": b"x"}, when))) as read:
            assert read.getnames() == ["a"]


def test_a_zip_larger_than_4_gib_is_read_by_python(tmp_path: Path) -> None:
    """A sparse file stands for the large file's bytes, which are zeros."""
    size = FULL + 10
    spool = Spool()
    form = Zip(spool)
    crc = 0
    for _ in range(size >> 24):
        crc = zlib.crc32(bytes(1 << 24), crc)
    crc = zlib.crc32(bytes(size & 0xFFFFFF), crc)
    with (tmp_path / "large.zip").open("wb") as file:
        file.write(form.begin(Member(b"large", size, WHEN)))
        file.seek(size, io.SEEK_CUR)
        file.write(form.end(crc))
        file.write(form.begin(Member(b"behind", 5, WHEN)) + b"hello" + form.end(zlib.crc32(b"hello")))
        for piece in form.finish():
            file.write(piece)
    spool.close()
    with zipfile.ZipFile(tmp_path / "large.zip") as read:
        assert [(info.filename, info.file_size) for info in read.infolist()] == [("large", size), ("behind", 5)]
        assert {info.CRC for info in read.infolist()} == {crc, zlib.crc32(b"hello")}
        assert read.read("behind") == b"hello"
        with read.open("large") as first:
            assert first.read(1000) == bytes(1000)


def test_a_zip_of_more_than_65535_files_is_read_by_python(spool: Spool) -> None:
    files = {f"{number}".encode(): b"" for number in range(65_600)}
    data = pack(Zip(spool), files)
    assert struct.pack("<I", 0x06064B50) in data
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert len(read.infolist()) == len(files)


def test_the_directory_waits_on_disk(spool: Spool) -> None:
    pack(Zip(spool), FILES)
    assert spool.measure(DIRECTORY)[0] == len(FILES)
