"""With k of n blocks corrupted on the way exactly k blocks are sent again."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .ground import Ground
from .proxy import TOKEN_SIZE, Proxy, Way, token

BLOCK: Final = 5 * MiB
BLOCKS: Final = 4
CORRUPTED: Final = [(), (1,), (0, 2, 3)]


def tagged(blocks: int = BLOCKS, seed: int = 0) -> bytes:
    """Data of which every block begins with its token; the last block is shorter."""
    length = BLOCK - TOKEN_SIZE
    chosen = random.Random(seed)
    data = b"".join(token(number) + chosen.randbytes(length) for number in range(blocks))
    return data[: -BLOCK // 2]


@pytest.fixture(params=["seaweedfs", "moto_s3"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    with Proxy(server.endpoint) as made:
        yield made


def sent_again(ground: Ground, transfer: str) -> list[int]:
    """The numbers of the blocks that the journal says were sent again."""
    damaged = [event for event in ground.events(transfer) if event["type"] == "scigate.file.damaged"]
    return sorted(number for event in damaged for number in event["data"]["blocks"])


def test_on_the_way_to_s3(ground: Ground, server: S3Server, proxy: Proxy) -> None:
    begun = time.monotonic()
    source = ground.posix("lab")
    prefix = ground.s3("far", server, proxy.url, part_size=BLOCK)
    ground.start()
    data = tagged()
    (source / "f").write_bytes(data)
    wrong: list[Any] = []
    for corrupted in CORRUPTED:
        passed = proxy.passed[Way.UP]
        proxy.aim(Way.UP, {number: (1000 + number, 2) for number in corrupted})
        transfer = ground.submit(("lab:/f", "far:/f"), overwrite="overwrite")
        done = ground.settled(transfer)
        again = sum(len(data[n * BLOCK : (n + 1) * BLOCK]) for n in corrupted)
        sent = proxy.passed[Way.UP] - passed - len(data)
        failed = any(event["type"].endswith(".failure") for event in ground.events(transfer))
        if done["state"] != "DONE" or failed:
            wrong.append((corrupted, done, ground.events(transfer)))
        if not again <= sent < again + BLOCK // 4:
            wrong.append((corrupted, f"{sent} bytes were sent again, not {again}"))
        held = server.client().get_object(Bucket=server.bucket, Key=f"{prefix}f")["Body"].read()
        if hashlib.sha256(held).digest() != hashlib.sha256(data).digest():
            wrong.append((corrupted, "other bytes"))
    flips = sum(map(len, CORRUPTED))
    record("faults.blocks", runs=flips, bad=len(wrong), seconds=time.monotonic() - begun, way="up", server=server.name)
    assert wrong == []
    assert proxy.flipped == flips


def test_on_the_way_from_s3(ground: Ground, seaweedfs: S3Server) -> None:
    """The object has a checksum over the whole only: a block is found by being read again."""
    begun = time.monotonic()
    source = ground.posix("lab")
    with Proxy(seaweedfs.endpoint) as proxy:
        prefix = ground.s3("near", seaweedfs, part_size=BLOCK)
        ground.s3("far", seaweedfs, proxy.url, part_size=BLOCK)
        ground.storages["far"]["prefix"] = prefix
        ground.start()
        data = tagged()
        (source / "f").write_bytes(data)
        assert ground.settled(ground.submit(("lab:/f", "near:/f")))["state"] == "DONE"
        wrong: list[Any] = []
        for corrupted in CORRUPTED:
            proxy.aim(Way.DOWN, {number: (1000 + number, 2) for number in corrupted})
            transfer = ground.submit(("far:/f", "near:/g"), overwrite="overwrite")
            done = ground.settled(transfer)
            if (done["state"], sent_again(ground, transfer)) != ("DONE", list(corrupted)):
                wrong.append((corrupted, done, ground.events(transfer)))
            held = seaweedfs.client().get_object(Bucket=seaweedfs.bucket, Key=f"{prefix}g")["Body"].read()
            if held != data:
                wrong.append((corrupted, "other bytes"))
    record("faults.blocks", runs=proxy.flipped, bad=len(wrong), seconds=time.monotonic() - begun, way="down")
    assert wrong == []
    assert proxy.flipped == sum(map(len, CORRUPTED))
