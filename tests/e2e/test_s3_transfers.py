"""The main job on a real S3 server: to it, from it and within it, resumed, proven, and in little memory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.resources import Proof, TransferState
from scigate.storage_backends.backend import GiB, MiB
from scigate.storage_backends.testing.servers import S3Server

Site = Any  # from conftest.py
MOST_MEMORY = 300_000_000

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def objects(server: S3Server, prefix: str) -> dict[str, int]:
    client = server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=server.bucket, Prefix=prefix)
    return {item["Key"].removeprefix(prefix): item["Size"] for page in pages for item in page.get("Contents", [])}


def uploads(server: S3Server, prefix: str) -> list[str]:
    found = server.client().list_multipart_uploads(Bucket=server.bucket, Prefix=prefix)
    return [upload["Key"] for upload in found.get("Uploads", [])]


def content(server: S3Server, key: str) -> str:
    hasher = hashlib.sha256()
    for chunk in server.client().get_object(Bucket=server.bucket, Key=key)["Body"].iter_chunks(MiB):
        hasher.update(chunk)
    return hasher.hexdigest()


SIZES = {"empty": 0, "small": 1000, "medium": 8 * MiB + 1, "large": 40 * MiB}


def test_there_and_within_and_back(site: Site, seaweedfs: S3Server) -> None:
    source, back = site.posix("lab"), site.posix("back")
    (source / "run").mkdir()
    for name, size in SIZES.items():
        (source / "run" / name).write_bytes(os.urandom(size))
    site.s3("one", seaweedfs)
    site.s3("two", seaweedfs)
    site.start()
    for start, end in (("lab:/run/", "one:/a/"), ("one:/a/", "two:/b/"), ("two:/b/", "back:/c/")):
        done = site.wait(site.submit((start, end)))
        assert done.state is TransferState.DONE, site.files(done.id)
        assert (done.files.done, done.bytes_done) == (len(SIZES), sum(SIZES.values()))
        assert done.proof in (Proof.A, Proof.B)
    prefix = f"{site.folder.name}/"
    assert objects(seaweedfs, f"{prefix}two/b/") == SIZES
    assert uploads(seaweedfs, prefix) == []
    for name in SIZES:
        original = (source / "run" / name).read_bytes()
        assert (back / "c" / name).read_bytes() == original
        assert content(seaweedfs, f"{prefix}two/b/{name}") == hashlib.sha256(original).hexdigest()


def test_parts_survive_the_process_that_wrote_them(site: Site, seaweedfs: S3Server) -> None:
    source = site.posix("lab")
    (source / "large").write_bytes(os.urandom(MiB) * 128)
    site.s3("s3", seaweedfs)
    first = site.start(delay=0.02, streams=1)
    transfer = site.submit(("lab:/large", "s3:/large"))
    site.until(lambda: site.files(transfer)[0].bytes_done >= 32 * MiB)
    first.kill()
    recorded = site.files(transfer)[0].bytes_done
    site.start()
    assert site.wait(transfer).state is TransferState.DONE
    done = [event for event in site.store.events(transfer, None, after=0, limit=100).items if event.subject]
    assert done[-1].type in ("scigate.file.published", "scigate.file.recovered")
    assert recorded >= 32 * MiB
    prefix = f"{site.folder.name}/s3/"
    assert objects(seaweedfs, prefix) == {"large": 128 * MiB}
    assert uploads(seaweedfs, prefix) == []
    assert content(seaweedfs, f"{prefix}large") == hashlib.sha256((source / "large").read_bytes()).hexdigest()


def test_cancelling_leaves_no_upload(site: Site, seaweedfs: S3Server) -> None:
    from scigate.gateway_api.transfers.wishes import Wish

    source = site.posix("lab")
    (source / "large").write_bytes(b"x" * 64 * MiB)
    site.s3("s3", seaweedfs)
    hold = site.folder / "hold"  # so that it has not ended before it is cancelled
    hold.touch()
    site.start(delay=0.05, streams=1, hold=str(hold))
    transfer = site.submit(("lab:/large", "s3:/large"))
    prefix = f"{site.folder.name}/s3/"
    site.until(lambda: uploads(seaweedfs, prefix) != [])
    site.store.ask(transfer, None, Wish.CANCEL)
    assert site.wait(transfer).state is TransferState.CANCELLED
    assert uploads(seaweedfs, prefix) == []
    assert objects(seaweedfs, prefix) == {}


@pytest.mark.long
def test_a_large_file_needs_little_memory(site: Site, seaweedfs: S3Server, tmp_path: Path) -> None:
    """S3 → S3 through the gateway; the size in GiB can be set, e.g. SCIGATE_LARGE_FILE=4."""
    size = int(float(os.environ.get("SCIGATE_LARGE_FILE", "0.5")) * GiB)
    site.s3("one", seaweedfs)
    site.s3("two", seaweedfs)
    seed = tmp_path / "seed"
    with seed.open("wb") as file:
        for number in range(size // (16 * MiB)):
            file.write(number.to_bytes(4, "big") * (4 * MiB))
    client = seaweedfs.client()
    client.upload_file(str(seed), seaweedfs.bucket, f"{site.folder.name}/one/large")
    seed.unlink()
    engine = site.start(streams=4)
    done = site.wait(site.submit(("one:/large", "two:/large")), 240)
    assert (done.state, done.bytes_done) == (TransferState.DONE, size)
    memory = site.end(engine)
    assert memory < MOST_MEMORY, f"{memory / 1e6:.0f} MB"
    for name in ("one", "two"):
        client.delete_object(Bucket=seaweedfs.bucket, Key=f"{site.folder.name}/{name}/large")
