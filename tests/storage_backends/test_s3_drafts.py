"""Multipart uploads on real servers: resuming, fencing, orphans, and what goes wrong at the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from awscrt import checksums
from scigate.storage_backends.backend import Draft, MiB, PartReceipt
from scigate.storage_backends.errors import AlreadyExists, DigestMismatch, Fenced, NotFound, StorageError, Truncated
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.s3_draft import MARK_NUMBER
from scigate.storage_backends.testing.servers import S3Server

Open = Callable[..., S3Backend]
BLOCK = 5 * MiB
DATA = bytes(range(256)) * (2 * BLOCK // 256) + b"the end"
CRC = f"{checksums.crc64nvme(DATA):016x}"


def content(backend: S3Backend, path: str) -> bytes:
    return b"".join(bytes(buffer) for buffer in backend.read(path))


def write(draft: Draft, *numbers: int, data: bytes = DATA) -> list[PartReceipt]:
    cut = [(n, data[n * BLOCK : (n + 1) * BLOCK]) for n in numbers]
    return [draft.write(n, n * BLOCK, len(block), [block]) for n, block in cut]


def uploads(server: S3Server, prefix: str) -> list[str]:
    page = server.client().list_multipart_uploads(Bucket=server.bucket, Prefix=prefix)
    return [upload["UploadId"] for upload in page.get("Uploads", [])]


def test_an_upload_is_resumed_by_another_process(s3_server: S3Server, open_s3: Open) -> None:
    first = open_s3(s3_server)
    lost = first.draft("f/x", len(DATA), key="one")
    write(lost, 0, 2)
    second = open_s3(s3_server, prefix=first._prefix)
    draft = second.draft("f/x", len(DATA), key="two", ref=lost.ref)
    kept = draft.parts()
    assert {n: (part.offset, part.length) for n, part in kept.items()} == {0: (0, BLOCK), 2: (2 * BLOCK, 7)}
    entry = draft.publish([*kept.values(), *write(draft, 1)], if_absent=True, digests={"crc64nvme": CRC})
    assert (entry.size, entry.identity) == (len(DATA), draft.identity)
    assert content(second, "f/x") == DATA
    assert uploads(s3_server, f"{first._prefix}f/x") == []


def test_more_parts_than_a_page_are_listed(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    client, key = seaweedfs.client(), f"{backend._prefix}x"
    upload = client.create_multipart_upload(Bucket=seaweedfs.bucket, Key=key)["UploadId"]
    for number in range(1, 8):
        client.upload_part(Bucket=seaweedfs.bucket, Key=key, UploadId=upload, PartNumber=number, Body=b"x")

    class Small:
        """The client, told to list two parts at a time."""

        def list_parts(self, **arguments: Any) -> Any:
            return client.list_parts(**arguments, MaxParts=2)

    backend._control._made = Small()  # type: ignore[assignment]
    assert [part.number for part in backend._control.parts(key, "x", upload)] == list(range(1, 8))
    assert [part.number for part in backend._control.parts(key, "x", upload, behind=5)] == [6, 7]


def test_the_mark_is_not_part_of_the_object(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    draft = backend.draft("x", len(DATA), key="k")
    assert [part.number for part in backend._control.parts(f"{backend._prefix}x", "x", draft._upload)] == [MARK_NUMBER]
    assert draft.parts() == {}
    entry = draft.publish(write(draft, 0, 1, 2), if_absent=False, digests={"crc64nvme": CRC})
    assert entry.digests == {"crc64nvme": CRC}
    assert content(backend, "x") == DATA


def test_the_last_of_many_owners_publishes(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    owners = [backend.draft("x", len(DATA), key="k0")]
    receipts = write(owners[0], 0, 1, 2)
    for number in range(1, 5):
        owners.append(
            open_s3(seaweedfs, prefix=backend._prefix).draft("x", len(DATA), key=f"k{number}", ref=owners[0].ref)
        )
    for fenced in owners[:-1]:
        with pytest.raises(Fenced):
            fenced.publish(receipts, if_absent=False, digests={})
        fenced.discard()
    owners[-1].publish(receipts, if_absent=False, digests={})
    assert content(backend, "x") == DATA


def test_a_wrong_checksum_keeps_the_object_from_appearing(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    draft = backend.draft("x", len(DATA), key="k")
    receipts = write(draft, 0, 1, 2)
    with pytest.raises(DigestMismatch):
        draft.publish(receipts, if_absent=False, digests={"crc64nvme": "0" * 16})
    with pytest.raises(NotFound):
        backend.stat("x")


@pytest.mark.parametrize("spoil", [lambda block: block[:-1], lambda block: block + b"x", lambda block: b""])
def test_a_block_of_the_wrong_length_is_no_part(seaweedfs: S3Server, open_s3: Open, spoil: Any) -> None:
    backend = open_s3(seaweedfs)
    draft = backend.draft("x", BLOCK, key="k")
    block = DATA[:BLOCK]
    with pytest.raises(Truncated):
        draft.write(0, 0, BLOCK, iter([spoil(block)]))
    assert draft.parts() == {}
    draft.publish(write(draft, 0), if_absent=False, digests={})
    assert content(backend, "x") == block


def test_an_empty_draft_becomes_an_empty_object(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    draft = backend.draft("x", 0, key="empty")
    entry = draft.publish([draft.write(0, 0, 0, [])], if_absent=True, digests={})
    assert (entry.size, backend.stat("x").identity) == (0, "empty")
    assert uploads(s3_server, f"{backend._prefix}x") == []
    again = backend.draft("x", 0, key="other")
    with pytest.raises(AlreadyExists):
        again.publish([], if_absent=True, digests={})


@pytest.mark.parametrize("ref", ["", "x", "crc64nvme", "crc64nvme k", "crc64nvme k gone", "other k u"])
def test_a_ref_that_is_none_of_ours_is_not_found(ref: str, seaweedfs: S3Server, open_s3: Open) -> None:
    with pytest.raises(NotFound):
        open_s3(seaweedfs).draft("x", 1, key="k", ref=ref)


# --- orphans ---------------------------------------------------------------------------------------------------------

SINCE = timedelta(minutes=1)


def test_our_orphans_go_and_foreign_uploads_stay(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, client = open_s3(seaweedfs), seaweedfs.client()
    key = f"{backend._prefix}x"
    about = {"Bucket": seaweedfs.bucket, "Key": key}
    ours = backend.draft("x", len(DATA), key="ours")
    write(ours, 0)
    unmarked = client.create_multipart_upload(**about)["UploadId"]  # we died before the mark
    foreign = client.create_multipart_upload(**about)["UploadId"]
    client.upload_part(**about, UploadId=foreign, PartNumber=1, Body=b"x")
    sibling = backend.draft("x", len(DATA), key="sibling")
    longer = backend.draft("x.bak", len(DATA), key="ours")
    backend.abandon("x", key="ours", ref=None, since=datetime.now(UTC) - SINCE)
    left = set(uploads(seaweedfs, key))
    assert left == {foreign, sibling._upload, longer._upload}
    assert not {ours._upload, unmarked} & left


def test_uploads_from_before_are_not_ours(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    upload = seaweedfs.client().create_multipart_upload(Bucket=seaweedfs.bucket, Key=f"{backend._prefix}x")["UploadId"]
    backend.abandon("x", key="k", ref=None, since=datetime.now(UTC) + timedelta(hours=1))
    assert uploads(seaweedfs, f"{backend._prefix}x") == [upload]


def test_a_draft_that_was_taken_over_is_not_abandoned_with_its_first_owner(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    old = backend.draft("x", len(DATA), key="old")
    new = backend.draft("x", len(DATA), key="new", ref=old.ref)
    since = datetime.now(UTC) - SINCE
    backend.abandon("x", key="old", ref=old.ref, since=since)
    backend.abandon("x", key="old", ref=None, since=since)
    new.publish(write(new, 0, 1, 2), if_absent=False, digests={})
    assert content(backend, "x") == DATA


# --- faults at the end -----------------------------------------------------------------------------------------------


def test_an_error_inside_a_200_is_an_error(
    seaweedfs: S3Server, open_s3: Open, s3_shim: Any, s3_error: Callable[[str], bytes]
) -> None:
    backend = open_s3(seaweedfs, endpoint=s3_shim.endpoint)
    draft = backend.draft("x", len(DATA), key="k")
    receipts = write(draft, 0, 1, 2)
    s3_shim.fault("POST", "uploadId=", status=200, body=s3_error("InternalError"), times=2)
    with pytest.raises(StorageError) as error:
        draft.publish(receipts, if_absent=False, digests={})
    assert "SECRET-IN-MESSAGE" not in str(error.value)
    with pytest.raises(NotFound):
        backend.stat("x")
    assert draft.publish(receipts, if_absent=False, digests={}).size == len(DATA)


@pytest.mark.parametrize("if_absent", [True, False])
def test_a_lost_answer_to_the_completion_is_found_out(
    seaweedfs: S3Server, open_s3: Open, s3_shim: Any, if_absent: bool
) -> None:
    backend = open_s3(seaweedfs, endpoint=s3_shim.endpoint)
    backend.probe()
    draft = backend.draft("x", len(DATA), key="mine")
    receipts = write(draft, 0, 1, 2)
    s3_shim.fault("POST", "uploadId=", forwarded=True, dropped=True)
    entry = draft.publish(receipts, if_absent=if_absent, digests={"crc64nvme": CRC})
    assert (entry.identity, entry.size) == ("mine", len(DATA))
    assert content(backend, "x") == DATA


def test_a_completion_that_was_none_is_not_believed(seaweedfs: S3Server, open_s3: Open, s3_shim: Any) -> None:
    backend = open_s3(seaweedfs, endpoint=s3_shim.endpoint)
    draft = backend.draft("x", len(DATA), key="k")
    receipts = write(draft, 0, 1, 2)
    done = b"<CompleteMultipartUploadResult><ETag>abc</ETag></CompleteMultipartUploadResult>"
    s3_shim.fault("POST", "uploadId=", status=200, body=done)
    with pytest.raises(StorageError, match="not there"):
        draft.publish(receipts, if_absent=False, digests={})


def test_somebody_else_wins_the_path(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    draft = backend.draft("x", len(DATA), key="k")
    receipts = write(draft, 0, 1, 2)
    backend.put("x", b"somebody else's", key="other")
    with pytest.raises(AlreadyExists):
        draft.publish(receipts, if_absent=True, digests={})
    assert content(backend, "x") == b"somebody else's"
    draft.publish(receipts, if_absent=False, digests={})
    assert content(backend, "x") == DATA
