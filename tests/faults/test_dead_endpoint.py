"""A storage that swallows every byte beside one that works: the files of the one end undisturbed, those of the other
say why they wait."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .ground import Ground, until
from .proxy import Harm, Proxy, Rule

QUEUED: Final = 100
LIVE: Final = 40

pytestmark = pytest.mark.usefixtures("short_stalls")


def test_a_dead_endpoint_holds_nobody_else_up(ground: Ground, seaweedfs: S3Server) -> None:
    begun = time.monotonic()
    source = ground.posix("lab")
    for number in range(max(QUEUED, LIVE)):
        (source / f"f{number}").write_bytes(bytes([number]) * 1000)
    ground.limits = {"max_active": 4, "batch_files": 2}
    with Proxy(seaweedfs.endpoint, [Rule(Harm.HOLE, each=True, times=None)]) as hole:
        ground.s3("dead", seaweedfs, hole.url)
        prefix = ground.s3("live", seaweedfs)
        ground.start()
        dead = ground.submit(*[(f"lab:/f{number}", f"dead:/f{number}") for number in range(QUEUED)])
        until(lambda: hole.connections > 0)
        live = ground.submit(*[(f"lab:/f{number}", f"live:/f{number}") for number in range(LIVE)])
        done = ground.settled(live)
        took = time.monotonic() - begun
        files: list[dict[str, Any]] = []

        def all_say_why() -> bool:
            files[:] = [file for file in ground.files(dead) if file["attempts"]]
            return sum(file["attempts"] for file in files) >= 3 and all(file["cause"] for file in files)

        until(all_say_why, tell=lambda: ground.tell(dead))
        connections = hole.connections
    wrong = [] if done["state"] == "DONE" else [str(done)]
    wrong += [str(file) for file in files if file["state"] == "DONE" or file["cause"]["code"] != "unreachable"]
    wrong += [str(file) for file in files if "dead" not in file["cause"]["message"]]
    listed = seaweedfs.client().list_objects_v2(Bucket=seaweedfs.bucket, Prefix=prefix)["KeyCount"]
    wrong += [] if listed == LIVE else [f"{listed} objects"]
    record("faults.network", runs=connections, bad=len(wrong), seconds=time.monotonic() - begun, harm="dead", took=took)
    assert wrong == []
    assert "dead" in str(ground.get(dead)["cause"])
