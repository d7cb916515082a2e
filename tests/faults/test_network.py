"""A bad network between the gateway and real S3 servers: right bytes at the destination, or a cause that says why."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from scigate.storage_backends.backend import KiB, MiB
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .ground import Ground
from .proxy import Harm, Proxy, Rule, Way

SIZES: Final = {"small": 300 * KiB, "large": 11 * MiB}
CODES: Final = frozenset({"unreachable", "truncated", "digest-mismatch", "throttled", "credential-refused"})
PLACES: Final = (0, 1000, 150_000, 9 * MiB)
"""Bytes of one connection: before the first, in a head, in a small body, in the second block of a large one."""


def content(server: S3Server, key: str) -> str | None:
    """The SHA-256 of what the server holds, asked without any proxy or code of the product."""
    client = server.client()
    try:
        return hashlib.sha256(client.get_object(Bucket=server.bucket, Key=key)["Body"].read()).hexdigest()
    except client.exceptions.NoSuchKey:
        return None
    finally:
        client.close()


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(params=["seaweedfs", "moto_s3", "rclone_s3"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    with Proxy(server.endpoint) as made:
        yield made


def judge(ground: Ground, transfer: str, held: dict[str, str | None], right: dict[str, str], old: str | None) -> list[str]:
    """What is wrong with how a transfer ended: a DONE that is not what was sent, or an end without a cause."""
    wrong = []
    for file in ground.files(transfer):
        name = file["destination"].rsplit("/", 1)[1]
        if file["state"] == "DONE" and held[name] != right[name]:
            wrong.append(f"{name} is DONE with other bytes")
        if file["state"] != "DONE" and file["cause"]["code"] not in CODES:
            wrong.append(f"{name} is {file['state']} with {file['cause']}")
        if file["state"] != "DONE" and held[name] not in (old, right[name]):
            wrong.append(f"{name} is {file['state']}, and the old object is gone")
    return wrong


@pytest.mark.parametrize("harm", [Harm.FIN, Harm.RST, Harm.HOLE])
@pytest.mark.parametrize("way", Way)
def test_connections_that_break_delay_and_no_more(
    ground: Ground, server: S3Server, proxy: Proxy, way: Way, harm: Harm
) -> None:
    begun = time.monotonic()
    source, back = ground.posix("lab"), ground.posix("back")
    prefix = ground.s3("far", server, proxy.url)
    right = {name: noise(size, size) for name, size in SIZES.items()}
    for name, data in right.items():
        (source / name).write_bytes(data)
    ground.start()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in right.items()}
    wrong: list[str] = []
    for start, end, held in (("lab", "far", None), ("far", "back", back)):
        proxy.rules[:] = [Rule(harm, place, way, each=True) for place in PLACES]
        transfer = ground.submit(*[(f"{start}:/{name}", f"{end}:/{name}") for name in SIZES])
        done = ground.settled(transfer)
        proxy.heal()
        found: dict[str, Any] = {
            name: content(server, prefix + name) if held is None
            else hashlib.sha256((held / name).read_bytes()).hexdigest()
            for name in SIZES
        }  # fmt: skip
        wrong += judge(ground, transfer, found, digests, None)
        wrong += [] if done["state"] == "DONE" else [f"{start} → {end}: {done}"]
    assert proxy.happened >= 3
    runs, seconds = proxy.happened, time.monotonic() - begun
    record("faults.network", runs=runs, bad=len(wrong), seconds=seconds, server=server.name, harm=harm.name)
    assert wrong == []
