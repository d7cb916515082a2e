"""Staged uploads: whole and durable or not there, within the quota, gone when nobody needs them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

import pytest
from scigate.gateway_api.uploads.digests import promised, representation
from scigate.gateway_api.uploads.put import begin
from scigate.gateway_api.uploads.staging import Staging
from scigate.storage_backends.errors import DigestMismatch, NoSpace, TooLarge, Truncated

DATA = b"0123456789" * 100
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    made = Staging(tmp_path / "staging", 10_000)
    made.prepare()
    return made


def names(staging: Staging) -> list[str]:
    return [path.name for path in staging.folder.iterdir()]


def test_an_upload_gets_its_name_when_it_is_whole(staging: Staging) -> None:
    upload = begin(staging, len(DATA), {"sha-256": SHA})
    upload.write([DATA[:500], memoryview(DATA)[500:]])
    assert names(staging) == [f"{upload.name}.part"]
    upload.finish()
    assert names(staging) == [upload.name]
    upload.close()
    assert (staging.folder / upload.name).read_bytes() == DATA
    assert upload.digests["sha-256"] == SHA
    assert staging.used() == len(DATA)
    assert oct((staging.folder / upload.name).stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_another_length_than_announced(staging: Staging, size: int) -> None:
    upload = begin(staging, size, {})
    with pytest.raises(Truncated):
        upload.write([DATA])
        upload.finish()
    upload.close()
    assert (names(staging), staging.used()) == ([], 0)


def test_another_digest_than_promised(staging: Staging) -> None:
    upload = begin(staging, len(DATA), {"sha-256": "0" * 64})
    upload.write([DATA])
    with pytest.raises(DigestMismatch):
        upload.finish()
    upload.close()
    assert (names(staging), staging.used()) == ([], 0)


def test_the_quota_counts_promises_and_what_is_kept(staging: Staging) -> None:
    first = begin(staging, 6_000, {})
    with pytest.raises(NoSpace):
        begin(staging, 5_000, {})
    open_ended = begin(staging, None, {})
    open_ended.write([b"x" * 4_000])
    with pytest.raises(NoSpace):
        open_ended.write([b"x"])
    first.close()
    open_ended.close()
    assert staging.used() == 0


def test_what_can_never_fit_is_said_at_once_and_names_the_setting(staging: Staging) -> None:
    with pytest.raises(TooLarge, match=r"limits\.staging_quota"):
        begin(staging, 10_001, {})
    open_ended = begin(staging, None, {})
    with pytest.raises(TooLarge):
        open_ended.write([b"x" * 10_001])
    open_ended.close()
    assert staging.used() == 0


def test_what_has_reached_its_storage_makes_room_for_the_next(staging: Staging) -> None:
    for _ in range(3):
        upload = begin(staging, 6_000, {})
        upload.write([b"x" * 6_000])
        upload.finish()
        upload.close()
        staging.make_room = lambda: staging.sweep(lambda found: set())
    assert (len(names(staging)), staging.used()) == (1, 6_000)


def test_parallel_uploads_never_exceed_the_quota(staging: Staging) -> None:
    begun = []

    def start() -> None:
        with contextlib.suppress(NoSpace):
            begun.append(begin(staging, 1_000, {}))

    threads = [threading.Thread(target=start) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), staging.used()) == (10, 10_000)
    for upload in begun:
        upload.close()


def test_a_sweep_keeps_what_is_needed(staging: Staging) -> None:
    uploads = []
    for _ in range(3):
        upload = begin(staging, len(DATA), {})
        upload.write([DATA])
        upload.finish()
        uploads.append(upload)
    needed, done, running = uploads
    needed.close()
    done.close()
    assert staging.sweep(lambda found: {needed.name} & set(found)) == 1
    assert sorted(names(staging)) == sorted([needed.name, running.name])
    assert staging.used() == 2 * len(DATA)


def test_a_restart_removes_what_was_cut_off_and_counts_the_rest(staging: Staging) -> None:
    whole = begin(staging, len(DATA), {})
    whole.write([DATA])
    whole.finish()
    begin(staging, None, {}).write([b"cut off"])
    again = Staging(staging.folder, 10_000)
    again.prepare()
    assert names(again) == [whole.name]
    assert again.used() == len(DATA)
    assert again.sweep(lambda found: set()) == 1
    assert names(again) == []


def test_writing_after_the_end_is_refused(staging: Staging) -> None:
    upload = begin(staging, None, {})
    upload.close()
    with pytest.raises(Truncated):
        upload.write([b"late"])
    with pytest.raises(Truncated):
        upload.finish()
    assert names(staging) == []


def test_digests_there_and_back() -> None:
    told = representation({"sha-256": SHA, "crc64nvme": "ae8b14860a799888"})
    assert promised(told) == {"sha-256": SHA, "crc64nvme": "ae8b14860a799888"}
    assert promised(None) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("crc64nvme", "ae8b14860a799888"), ("crc32c", "e3069283"), ("adler", "091e01de"),
     ("md5", "25f9e794323b453885f5181f1b624d0b")],
)  # fmt: skip
def test_known_digests(staging: Staging, name: str, expected: str) -> None:
    upload = begin(staging, 9, {name: expected})
    upload.write([b"123456789"])
    upload.finish()
    assert upload.digests[name] == expected
    upload.close()
    assert os.listdir(staging.folder) == [upload.name]
