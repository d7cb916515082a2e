"""The clock of a gateway's machine is set while it works (libfaketime; the other servers keep their time)."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import strict_s3

from .stand import Program, until

MiB = 1 << 20
LARGE, FILES = 16 * MiB, 4
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
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


def begin_uploads(made: Program, first: int, count: int = 3) -> list[tuple[str, bytes]]:
    """Uploads of which a half has been sent."""
    begun = []
    for number in range(first, first + count):
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


def is_seen(made: Program, step: int) -> bool:
    """Whether the gateway takes its clock to be set by this."""
    date = parsedate_to_datetime(made.client().get("/healthz").headers["Date"])
    return abs((date - datetime.now(UTC)).total_seconds() - step) < 30


def end_uploads(made: Program, uploads: list[tuple[str, bytes]]) -> None:
    for upload, data in uploads:
        send(made, upload, 9_000, data[9_000:])
    until(lambda: len(list(made.root("out").glob("sent/[0-9]*"))) == len(uploads))


def settle(made: Program, began: float, transfers: list[str], step: int, **more: Any) -> None:
    kinds = {kind for transfer in transfers for kind in made.events(transfer)}
    assert "lapse" not in kinds, "taken over early"
    assert "expired" not in kinds
    until(lambda: all(t["finished"] for t in made.client().get("/api/v1/transfers").json()["items"]))
    made.settle("faults.clock", began, fault=f"clock set by {step} s", **more)


STEPS = {"hour-on": 3600, "hour-back": -3600, "day-on": 86_400, "day-back": -86_400}
USUAL = {"day-back"}
LIMITS = {"lease_seconds": 60, "upload_expires": "6h"}


@pytest.mark.parametrize("step", [pytest.param(STEPS[name], marks=[long] * (name not in USUAL)) for name in STEPS],
                         ids=STEPS)  # fmt: skip
def test_a_clock_that_is_set_ends_nothing_early_and_holds_nothing_up(
    program: Callable[..., Program], clock: Clock, step: int
) -> None:
    """Uploads do not expire, leases are kept, files that wait are tried again soon; also those that come to wait
    between the step and the moment in which it is noticed."""
    began = time.monotonic()
    made = program(environment=clock.environment, limits=LIMITS)
    (made.root("lab") / "f").write_bytes(os.urandom(MiB))
    made.start()
    uploads = begin_uploads(made, 0)
    aside = made.folder / "aside"
    made.root("out").rename(aside)  # what goes there waits to be tried again, every half a second
    waits = [made.submit(("lab:/f", "out:/waits"))]
    made.wait_for(waits[0], "WAITING")
    clock.set_by(step)
    while not is_seen(made, step):
        if len(waits) < 6:  # some of them in the very moment
            waits.append(made.submit(("lab:/f", f"out:/waits-{len(waits)}")))
            uploads += begin_uploads(made, len(uploads), 1)
        time.sleep(0.2)
    uploads += begin_uploads(made, len(uploads), 1)
    time.sleep(1.5)  # until the reconciler has been there
    aside.rename(made.root("out"))
    for transfer in waits:
        assert made.wait(transfer)["state"] == "DONE"
    end_uploads(made, uploads)
    settle(made, began, waits, step, runs=4)  # what waits and what is sent, from before and from the moment itself


@long
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_storage_that_checks_the_time_of_signatures_serves_a_gateway_whose_clock_is_set(
    program: Callable[..., Program], clock: Clock, seaweedfs: S3Server, tmp_path: Path, step: int
) -> None:
    began = time.monotonic()
    with strict_s3(seaweedfs) as strict:
        (tmp_path / "key").write_text(strict.server.secret_key)
        storages: dict[str, Any] = {"lab": None, "out": None, "cloud": {
            "type": "s3", "endpoint": strict.server.endpoint, "bucket": seaweedfs.bucket, "region": seaweedfs.region,
            "access_key": strict.server.access_key, "secret_key": {"file": str(tmp_path / "key")},
            "prefix": f"{tmp_path.name}/", "part_size": 5 * MiB,
        }}  # fmt: skip
        made = program(environment=clock.environment, storages=storages, limits=LIMITS)
        (made.root("lab") / "large").write_bytes(os.urandom(LARGE))
        made.start()
        moving = made.submit(*[("lab:/large", f"cloud:/{number}") for number in range(FILES)])
        until(lambda: made.get(moving)["bytes_done"] > 0)
        clock.set_by(step)
        until(lambda: is_seen(made, step))
        later = made.submit(("lab:/large", "cloud:/later"))
        assert made.wait(moving)["state"] == "DONE"
        assert made.wait(later)["state"] == "DONE"
        assert "RequestTimeTooSkewed" in strict.refused(), "nothing was asked of it meanwhile"
        settle(made, began, [moving, later], step)
