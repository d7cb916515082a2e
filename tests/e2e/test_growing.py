"""Uploads that flow on to their storage while they arrive, on real storages, with an engine that is killed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.resources import FileState, Proof, TransferState
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import S3Server

from tests.sending import Sender

Site = Any  # from conftest.py
SIZE = 100 * MiB
PART = 50 * MiB


def uploading(site: Site, destination: str) -> tuple[Sender, str, Path]:
    """An upload that is announced, and the file that is sent."""
    sent = site.folder / "sent"
    sent.write_bytes(os.urandom(MiB) * (SIZE // MiB - 1) + os.urandom(MiB))
    sender = Sender(site.database, site.folder / "staging")
    return sender, sender.announce("u1", destination, SIZE), sent


def start(site: Site, sender: Sender, sent: Path, until: int, rate: float, **options: Any) -> Any:
    sends = {"upload": "u1", "data": str(sent), "rate": rate, "until": until}
    return site.start(lease=600.0, staging=str(sender.folder), sends=sends, **options)


def flows(site: Site, transfer: str) -> int:
    done: int = site.files(transfer)[0].bytes_done
    return done


def through_a_kill(site: Site, sender: Sender, transfer: str, sent: Path) -> tuple[int, float]:
    """Kill the engine while bytes come and go, let the next one end it. Returns the bytes that were at the storage
    when the last one came, and the seconds from then to DONE."""
    first = start(site, sender, sent, PART, rate=100)
    site.until(lambda: flows(site, transfer) >= 32 * MiB)
    first.kill()
    second = start(site, sender, sent, SIZE - MiB, rate=200)
    site.until(lambda: flows(site, transfer) >= 96 * MiB)
    before = flows(site, transfer)
    site.end(second)
    start(site, sender, sent, SIZE, rate=1000)
    began = time.monotonic()
    done = site.wait(transfer)
    assert (done.state, done.proof in (Proof.A, Proof.B)) == (TransferState.DONE, True)
    return before, time.monotonic() - began


def test_a_killed_engine_goes_on_with_an_upload_that_flows(site: Site) -> None:
    out = site.posix("out")
    sender, transfer, sent = uploading(site, "out:/run.dat")
    before, _ = through_a_kill(site, sender, transfer, sent)
    assert before >= 96 * MiB
    assert (out / "run.dat").read_bytes() == sent.read_bytes()
    assert list(out.rglob(".*")) == []
    types = site.types(transfer)
    assert "file.lapse" in types
    assert "file.failure" not in types


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_parts_of_an_upload_are_at_s3_before_its_last_byte(site: Site, seaweedfs: S3Server) -> None:
    site.s3("s3", seaweedfs)
    sender, transfer, sent = uploading(site, "s3:/run.dat")
    before, _ = through_a_kill(site, sender, transfer, sent)
    assert before >= 96 * MiB
    body = seaweedfs.client().get_object(Bucket=seaweedfs.bucket, Key=f"{site.folder.name}/s3/run.dat")["Body"]
    assert hashlib.sha256(body.read()).digest() == hashlib.sha256(sent.read_bytes()).digest()
    assert "file.failure" not in site.types(transfer)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_sleeping_sender_is_left_and_its_bytes_are_kept(site: Site) -> None:
    out = site.posix("out")
    sender, transfer, sent = uploading(site, "out:/run.dat")
    first = start(site, sender, sent, PART, rate=1000, silence=3.0)
    site.until(lambda: site.files(transfer)[0].state is FileState.WAITING and flows(site, transfer) == 32 * MiB)
    assert "file.starved" in site.types(transfer)
    first.kill()
    start(site, sender, sent, SIZE, rate=1000)
    assert site.wait(transfer).state is TransferState.DONE
    assert (out / "run.dat").read_bytes() == sent.read_bytes()
