"""A bad network between the gateway and real S3 servers: right bytes at the destination, or a cause that says why."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any, Final

import pytest
from scigate.storage_backends.backend import KiB, MiB
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .conftest import WebServer
from .ground import Ground
from .proxy import Harm, Proxy, Rule, Way

FILES: Final = {
    **{f"small-{number}": 200 * KiB + number for number in range(6)},
    "large-1": 9 * MiB,
    "large-2": 11 * MiB,
}
CODES: Final = frozenset({"unreachable", "truncated", "digest-mismatch", "throttled", "credential-refused"})
PLACES: Final = (0, 1000, 150_000, 5 * MiB)
"""Bytes of one connection: before the first, in or after a head, in the body of a small file and of a large one."""
BREAKS: Final = 12  # connections at least that are broken

pytestmark = [pytest.mark.usefixtures("short_stalls"), pytest.mark.timeout(900)]
"""Who is given up after 1.5 seconds is often given up without need by a busy machine, and tried again."""


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


def faults(connections: int, harms: Sequence[Harm] = (Harm.FIN, Harm.RST, Harm.HOLE)) -> list[Rule]:
    """One kind of fault for each of the next connections."""
    kinds = [(harm, way, place) for place in PLACES for way in Way for harm in harms]
    return [
        Rule(harm, place, way, each=True, connection=connections + number)
        for number, (harm, way, place) in enumerate(kinds, 1)
    ]


def judge(file: dict[str, Any], held: str | None, right: str, old: str | None) -> list[str]:
    """What is wrong with how a file ended: a DONE that is not what was sent, an end without a cause, a lost object."""
    name, state = file["destination"], file["state"]
    if state == "DONE":
        return [] if held == right else [f"{name} is DONE with other bytes"]
    wrong = [] if file["cause"]["code"] in CODES else [f"{name} is {state} with {file['cause']}"]
    return wrong + ([] if held in (old, right) else [f"{name} is {state}, and the old object is gone"])


def test_connections_that_break_delay_and_no_more(ground: Ground, server: S3Server, proxy: Proxy) -> None:
    """To the server, over what is there, back, and on until enough connections have been broken: how many are used is
    up to the engine. Each breaks in another way."""
    begun = time.monotonic()
    source, back = ground.posix("lab"), ground.posix("back")
    prefix = ground.s3("far", server, proxy.url)
    ground.start()
    wrong: list[str] = []
    old: dict[str, str | None] = dict.fromkeys(FILES)
    legs = chain([("lab", "far"), ("lab", "far"), ("far", "back")], cycle([("lab", "far"), ("far", "back")]))
    for leg, (start, end) in enumerate(legs):
        if leg >= 3 and proxy.happened >= BREAKS:
            break
        if start == "lab":
            for name, size in FILES.items():
                (source / name).write_bytes(noise(size, size + leg))
        right = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in FILES}
        proxy.hang_up()  # rules are for new connections, and those that are left over carry all there is to do
        # when more are needed, of the quick kind: who looks into a hole waits
        proxy.rules[:] = faults(proxy.connections, *([(Harm.FIN, Harm.RST)] if leg >= 3 else []))
        transfer = ground.submit(*[(f"{start}:/{name}", f"{end}:/{name}") for name in FILES], overwrite="overwrite")
        done = ground.settled(transfer, 240)
        proxy.heal()
        for file in ground.files(transfer):
            name = file["destination"].rsplit("/", 1)[1]
            held = content(server, prefix + name) if end == "far" else _sha256(back / name)
            wrong += judge(file, held, right[name], old[name])
        wrong += [] if done["state"] == "DONE" else [f"{start} → {end}: {done}"]
        old = dict(right) if end == "far" else old
    runs, seconds = proxy.happened, time.monotonic() - begun
    record("faults.network", runs=runs, bad=len(wrong), seconds=seconds, server=server.name)
    assert wrong == []
    assert runs >= BREAKS


@pytest.mark.parametrize("harm", [Harm.RST, Harm.HOLE])
def test_a_server_that_takes_no_part_again_that_broke_off_gets_a_new_draft(
    ground: Ground, rclone_s3: S3Server, harm: Harm
) -> None:
    """``rclone serve s3`` streams a part on as it comes, and answers 501 to the same one from then on."""
    begun = time.monotonic()
    source = ground.posix("lab")
    data = noise(11 * MiB, 11)
    (source / "large").write_bytes(data)
    with Proxy(rclone_s3.endpoint) as proxy:
        prefix = ground.s3("far", rclone_s3, proxy.url)
        ground.start()
        proxy.rules.append(Rule(harm, 2 * MiB, each=True))
        done = ground.settled(ground.submit(("lab:/large", "far:/large")))
        happened = proxy.happened
    right = content(rclone_s3, prefix + "large") == hashlib.sha256(data).hexdigest()
    wrong = [] if done["state"] == "DONE" and right else [str(done)]
    record("faults.network", runs=1, bad=len(wrong), seconds=time.monotonic() - begun, server="rclone", harm=harm.name)
    assert wrong == []
    assert happened == 1


def test_from_a_web_server(ground: Ground, rclone_http: WebServer) -> None:
    begun = time.monotonic()
    out, web = ground.posix("out"), rclone_http.folder
    for name, size in FILES.items():
        (web / name).write_bytes(noise(size, size))
    with Proxy(rclone_http.url) as proxy:
        ground.http("site", proxy.url)
        ground.start()
        proxy.rules[:] = faults(proxy.connections)
        transfer = ground.submit(*[(f"site:/{name}", f"out:/{name}") for name in FILES])
        done = ground.settled(transfer)
    wrong = [] if done["state"] == "DONE" else [str(done)]
    for file in ground.files(transfer):
        name = file["destination"].rsplit("/", 1)[1]
        wrong += judge(file, _sha256(out / name), _sha256(web / name) or "", None)
    runs, seconds = proxy.happened, time.monotonic() - begun
    record("faults.network", runs=runs, bad=len(wrong), seconds=seconds, server="rclone serve http")
    assert wrong == []
    assert runs >= 6


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
