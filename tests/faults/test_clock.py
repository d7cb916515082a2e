"""The clock of a gateway's machine is set while it works (libfaketime; the other servers keep their time)."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import strict_s3

from .stand import Program, until

MiB = 1 << 20
LARGE = 24 * MiB
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
UPLOADS = 12
long = pytest.mark.long


class Clock:
    """What the gateway's process takes for the time: ours, and ``set_by`` seconds more."""

    def __init__(self, folder: Path, faketime: Path) -> None:
        library = next(faketime.parents[1].glob("lib/*/faketime/libfaketimeMT.so.1"), None)
        library = library or next(faketime.parents[1].glob("lib/faketime/libfaketimeMT.so.1"))
        self._file = folder / "clock"
        self.set_by(0)
        self.environment = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip

    def set_by(self, seconds: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


@pytest.fixture
def clock(require: Callable[[str], Path], tmp_path: Path) -> Clock:
    return Clock(tmp_path, require("faketime").resolve())


def begin_uploads(made: Program) -> list[tuple[str, bytes]]:
    """Uploads of which a half has been sent."""
    begun = []
    for number in range(UPLOADS):
        data = os.urandom(20_000)
        name = base64.b64encode(f"out:/sent/{number}".encode()).decode()
        headers = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": f"destination {name}"}
        answer = made.client().post("/api/v1/uploads", headers=headers)
        assert answer.status_code == 201, answer.text
        begun.append((answer.headers["Location"], data))
        send(made, answer.headers["Location"], 0, data[:9_000])
    return begun


def send(made: Program, upload: str, offset: int, data: bytes) -> None:
    answer = made.client().patch(upload, headers={**BYTES, "Upload-Offset": str(offset)}, content=data)
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=long) for step in (3600, -3600, 86_400, -86_400)],
    ids=["hour-on", "hour-back", "day-on", "day-back"],
)  # fmt: skip
def test_a_clock_that_is_set_ends_nothing_early_and_holds_nothing_up(
    program: Callable[..., Program], clock: Clock, seaweedfs: S3Server, tmp_path: Path, step: int
) -> None:
    """Uploads do not expire, leases are kept, files that wait are tried again soon, and storages that check the time
    of signatures are served."""
    began = time.monotonic()
    with strict_s3(seaweedfs) as strict:
        (tmp_path / "key").write_text(strict.server.secret_key)
        storages: dict[str, Any] = {"lab": None, "out": None, "cloud": {
            "type": "s3", "endpoint": strict.server.endpoint, "bucket": seaweedfs.bucket, "region": seaweedfs.region,
            "access_key": strict.server.access_key, "secret_key": {"file": str(tmp_path / "key")},
            "prefix": f"{tmp_path.name}/", "part_size": 5 * MiB,
        }}  # fmt: skip
        options: dict[str, Any] = {"lease_seconds": 3, "upload_expires": "6h"}
        made = program(environment=clock.environment, storages=storages, limits=options)
        (made.root("lab") / "large").write_bytes(os.urandom(LARGE))
        made.start()
        uploads = begin_uploads(made)
        aside = made.folder / "aside"
        made.root("out").rename(aside)  # what goes there waits to be tried again
        waits = made.submit(("lab:/large", "out:/waits"))
        made.wait_for(waits, "WAITING")
        moving = made.submit(*[("lab:/large", f"cloud:/{number}") for number in range(6)])
        until(lambda: made.get(moving)["bytes_done"] > 0)
        clock.set_by(step)
        time.sleep(2.5)  # until everybody has seen it, and the reconciler has been there
        aside.rename(made.root("out"))
        assert made.wait(waits, 30)["state"] == "DONE"
        assert made.wait(moving)["state"] == "DONE"
        later = made.submit(("lab:/large", "cloud:/later"))
        assert made.wait(later)["state"] == "DONE"
        for upload, data in uploads:
            send(made, upload, 9_000, data[9_000:])
        until(lambda: len(list(made.root("out").glob("sent/[0-9]*"))) == UPLOADS)
        kinds = made.events(moving) + made.events(waits)
        assert "lapse" not in kinds, "taken over early"
        assert "expired" not in kinds
        until(lambda: all(t["finished"] for t in made.client().get("/api/v1/transfers").json()["items"]))
        made.settle("faults.clock", began, runs=4, fault=f"clock set by {step} s")
