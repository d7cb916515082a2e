"""S3 against real servers: what the conformance suite does not ask for."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from scigate.storage_backends.backend import Kind, MiB
from scigate.storage_backends.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidName,
    NotFound,
    Permanent,
    SourceChanged,
    Truncated,
    Unsupported,
)
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.s3_copy import CopyJob, about_copy
from scigate.storage_backends.testing.servers import S3Server

Open = Callable[..., S3Backend]

ODD_KEYS = [
    "a b",
    "a+b",
    "100%",
    "%41",
    "a&b=c?d#e",
    "ü",
    "e\u0301",
    "\U0001f9ec",
    "<x>&lt;",
    "'\"`",
    "~!*'();:@$,[]{}|^",
]


def content(backend: S3Backend, path: str, *range_: Any, **about: Any) -> bytes:
    return b"".join(bytes(buffer) for buffer in backend.read(path, *range_, **about))


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_stored_byte_for_byte(key: str, s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    if key == "e\u0301" and s3_server.name == "rclone":  # it would compose the letter
        with pytest.raises(InvalidName, match="NFC"):
            backend.put(f"f/{key}", b"data")
        return
    backend.put(f"f/{key}", b"data")
    prefix = backend._prefix
    listed = s3_server.client().list_objects_v2(Bucket=s3_server.bucket, Prefix=prefix)["Contents"]
    assert [item["Key"] for item in listed] == [f"{prefix}f/{key}"]
    assert content(backend, f"f/{key}") == b"data"


@pytest.mark.parametrize("key", ["a//b", "./x", "a/./b", "a\\b", "a\nb"])
def test_a_name_that_a_server_would_change_is_kept_or_refused(key: str, s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    plain = key.replace("//", "/").replace("./", "").replace("\\", "/").replace("\n", "")
    backend.put(plain, b"plain")
    try:
        backend.put(key, b"odd")
    except InvalidName:
        with pytest.raises(InvalidName):
            backend.delete(key)
    else:
        assert content(backend, key) == b"odd"
    assert content(backend, plain) == b"plain"


def test_a_key_longer_than_1024_bytes_is_refused(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs, prefix="p")
    with pytest.raises(InvalidName, match="1024 bytes"):
        backend.put("d/" * 511 + "x", b"x")
    with pytest.raises(InvalidName, match="UTF-8"):
        backend.stat("a\udce9")


def test_a_probe_leaves_nothing(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    backend.probe()
    for odd in ("a//b", "a\\b", "e\u0301", "a\nb"):
        try:
            backend.put(odd, b"x")
            backend.delete(odd)
        except InvalidName:
            continue
    backend.draft("d", 1, key="k").discard()
    client = seaweedfs.client()
    assert client.list_objects_v2(Bucket=seaweedfs.bucket, Prefix=backend._prefix).get("KeyCount") == 0
    assert "Uploads" not in client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=backend._prefix)


def test_folder_markers_are_folders_and_never_files(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    assert backend.extras.mkdir is not None
    backend.extras.mkdir("top/empty/")
    backend.put("top/file", b"x")
    assert [entry.path for entry in backend.scan("top/")] == ["top/file"]
    assert {(e.path, e.kind) for e in backend.scan("top/", recursive=False)} == {
        ("top/empty/", Kind.FOLDER),
        ("top/file", Kind.FILE),
    }


def test_an_object_with_bytes_under_the_name_of_a_folder_is_told_of_and_kept(moto_s3: S3Server, open_s3: Open) -> None:
    backend, client = open_s3(moto_s3), moto_s3.client()
    odd = {"Bucket": moto_s3.bucket, "Key": f"{backend._prefix}top/odd/"}
    client.put_object(**odd, Body=b"bytes")
    for folder, recursive in (("top/", True), ("top/odd/", True), ("top/odd/", False)):
        (entry,) = backend.scan(folder, recursive=recursive)
        assert (entry.path, entry.kind, entry.size) == ("top/odd/", Kind.OTHER, 5)
        assert "5 bytes" in str(entry.note)
    assert backend.extras.mkdir is not None
    backend.extras.mkdir("top/odd/")
    with pytest.raises(Permanent, match="not empty"):
        backend.delete("top/odd/")
    assert client.get_object(**odd)["Body"].read() == b"bytes"


# --- conditions and digests ------------------------------------------------------------------------------------------


def test_of_many_puts_with_if_absent_one_wins(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, won, lost = open_s3(seaweedfs), [], []

    def put(number: int) -> None:
        try:
            backend.put("raced", b"%d" % number, if_absent=True, key=f"k{number}")
            won.append(number)
        except AlreadyExists:
            lost.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 11)
    assert content(backend, "raced") == b"%d" % won[0]


def test_where_the_server_cannot_refuse_to_overwrite_we_look_first(rclone_s3: S3Server, open_s3: Open) -> None:
    backend = open_s3(rclone_s3)
    backend.put("there", b"old")
    with pytest.raises(AlreadyExists):
        backend.put("there", b"new", if_absent=True)
    assert not backend.limits.atomic_no_replace
    assert content(backend, "there") == b"old"


def test_the_server_checks_what_it_is_sent(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    wrong = {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-sdk-checksum-algorithm": "CRC64NVME"}
    with pytest.raises(DigestMismatch):
        backend._data.put(f"{backend._prefix}x", "x", b"data", wrong)
    with pytest.raises(NotFound):
        backend.stat("x")


def test_what_is_stored_has_the_digest_of_what_was_sent(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    entry = backend.put("x", b"123456789", digests={"crc64nvme": "ae8b14860a799888"}, key="mine")
    assert entry.digests == {"crc64nvme": "ae8b14860a799888"}
    found = backend.stat("x")
    assert (found.digests, found.identity, found.version) == (entry.digests, "mine", entry.version)
    assert backend.extras.digest is not None
    assert backend.extras.digest("x", "crc64nvme") == "ae8b14860a799888"
    with pytest.raises(Unsupported):
        backend.extras.digest("x", "blake3")


def test_a_changed_source_is_noticed_before_the_first_byte(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    version = backend.put("x", b"old").version
    backend.put("x", b"new")
    for range_ in ((), (1, 1), (1,), (0, 0)):
        with pytest.raises(SourceChanged):
            content(backend, "x", *range_, version=version)


def test_a_range_beyond_the_end_is_truncated(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    backend.put("x", b"0123456789")
    assert content(backend, "x", 3, 4) == b"3456"
    assert content(backend, "x", 10) == b""
    for range_ in ((8, 3), (11,), (20, 1)):
        with pytest.raises(Truncated):
            content(backend, "x", *range_)


# --- copies and links ------------------------------------------------------------------------------------------------


def copy(backend: S3Backend, source: str, to: str, **about: Any) -> tuple[Any, list[int]]:
    moved: list[int] = []
    given: dict[str, Any] = {"version": None, "if_absent": False, "key": "copy-key", "progress": moved.append}
    assert backend.extras.copy is not None
    return backend.extras.copy(source, to, **(given | about)), moved


def test_a_copy_keeps_content_type_and_metadata_and_has_its_own_identity(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, client = open_s3(seaweedfs), seaweedfs.client()
    key = f"{backend._prefix}from ü+"
    about = {"ContentType": "text/x-fasta", "Metadata": {"scigate-id": "first", "run": "7"}, "CacheControl": "no-store"}
    client.put_object(Bucket=seaweedfs.bucket, Key=key, Body=b"ACGT", **about)
    entry, moved = copy(backend, "from ü+", "to")
    assert (entry.size, entry.identity, moved) == (4, "copy-key", [4])
    head = client.head_object(Bucket=seaweedfs.bucket, Key=f"{backend._prefix}to")
    assert (head["ContentType"], head["CacheControl"]) == ("text/x-fasta", "no-store")
    assert head["Metadata"] == {"scigate-id": "copy-key", "run": "7"}


def test_a_copy_is_the_same_whichever_way_its_source_was_looked_at(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    about = {"content-type": "text/x-fasta", "cache-control": "no-store", "x-amz-meta-run": "7"}
    backend._data.put(f"{backend._prefix}from", "from", b"ACGT", about)
    copy(backend, "from", "looked")
    assert backend.extras.copy_and_read is not None
    backend.extras.copy_and_read("from", "read", version=None, if_absent=True, key="copy-key")
    looked, read = (
        about_copy(backend._data.head(f"{backend._prefix}{name}", name), "k") for name in ("looked", "read")
    )
    assert read == looked
    assert read["content-type"] == "text/x-fasta"


def test_metadata_that_is_not_ascii_is_copied_byte_for_byte(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    note = "è  Größe à".encode().decode("latin-1")  # as headers are shown; two of its bytes are blanks in Latin-1
    backend._data.put(f"{backend._prefix}from", "from", b"x", {"x-amz-meta-note": note})
    copy(backend, "from", "to")
    kept = [backend._data.head(f"{backend._prefix}{name}", name).headers["x-amz-meta-note"] for name in ("from", "to")]
    assert kept[1] == kept[0]
    assert kept[0].split() == note.split()


def test_a_copy_in_parts_is_whole(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, data = open_s3(seaweedfs), bytes(range(256)) * (11 * 4096)
    backend.put("from", data)
    source = backend._data.head(f"{backend._prefix}from", "from")
    moved: list[int] = []
    job = CopyJob(
        backend._data,
        backend._control,
        source,
        f"{backend._prefix}to",
        "to",
        about_copy(source, "parts"),
        False,
    )
    job.in_parts(moved.append, part_size=5 * MiB)
    assert moved == [5 * MiB, 5 * MiB, 1 * MiB]
    assert content(backend, "to") == data
    assert backend.stat("to").identity == "parts"


def test_a_stopped_copy_in_parts_leaves_nothing(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    backend.put("from", bytes(11 * MiB))
    source = backend._data.head(f"{backend._prefix}from", "from")
    job = CopyJob(backend._data, backend._control, source, f"{backend._prefix}to", "to", about_copy(source, "k"), False)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.in_parts(stop, part_size=5 * MiB)
    with pytest.raises(NotFound):
        backend.stat("to")
    uploads = seaweedfs.client().list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=f"{backend._prefix}to")
    assert "Uploads" not in uploads


def test_a_link_reads_without_a_credential_for_its_time(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    backend.put("a b+ü%41", b"data")
    assert backend.extras.presign is not None
    url = backend.extras.presign("a b+ü%41", timedelta(minutes=1))
    assert urllib.request.urlopen(url, timeout=60).read() == b"data"
    for lifetime in (timedelta(days=8), timedelta(0)):
        with pytest.raises(Unsupported, match="7 days"):
            backend.extras.presign("a", lifetime)


def test_a_folder_that_is_listed_can_be_looked_at_and_removed(s3_server: S3Server, open_s3: Open) -> None:
    """SeaweedFS shows one that has lost its last file, but only to who lists with a delimiter."""
    backend = open_s3(s3_server)
    for name in ("kept", "sub/a", "sub/b"):
        backend.put(f"f/{name}", b"")
    for name in ("sub/a", "sub/b"):
        backend.delete(f"f/{name}")
    for entry in [entry for entry in backend.scan("f/", recursive=False) if entry.kind is Kind.FOLDER]:
        assert backend.stat(entry.path).kind is Kind.FOLDER
        backend.delete(entry.path)
    assert [entry.path for entry in backend.scan("f/", recursive=False)] == ["f/kept"]
