"""The whole engine through the strict layer: a server that forgives nothing, on bad days."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from scigate.storage_backends.backend import KiB, MiB
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3, strict_s3
from scigate.storage_backends.testing.strict_s3_server import Seen
from scigate.storage_backends.testing.strict_s3_weather import Mood, Weather

from tests.evidence import record

from .ground import Ground

PART: Final = 5 * MiB  # the least that S3 takes
SIZES: Final = {"empty": 0, "small": 70 * KiB, "put-max": 8 * MiB, "three-parts": 2 * PART + 1}
OURS: Final = frozenset({"", "SlowDown", "InternalError", "NoSuchKey", "PreconditionFailed", "NoSuchUpload",
                         "ConditionalRequestConflict"})  # fmt: skip
"""What a right client may be told; any other code is an error of ours, except about what it does to find out."""
WEATHERS: Final = {
    "clear": Weather(),
    "slow-down": Weather(slow_down_every=9, retry_after=("1", "Thu, 01 Jan 1970 00:00:00 GMT", "-5", None)),
    "lost-answers": Weather(lost_every=5, seed=1),
    "errors-in-200": Weather(error_in_200_every=2),
    "conflicts": Weather(conflict_every=2),
    "closed": Weather(close_every=3, bare_xml=True),
    "everything": Weather(slow_down_every=11, lost_every=8, error_in_200_every=4, close_every=5, seed=3),
}

RARE: Final = frozenset({"closed", "everything"})  # with --long; uploads on a bad day meet the same in the usual run


@pytest.fixture
def strict(seaweedfs: S3Server) -> Iterator[StrictS3]:
    with strict_s3(seaweedfs) as layer:
        yield layer


def fill(folder: Path, sizes: dict[str, int], seed: int = 1) -> None:
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(f"{seed} {name}").randbytes(size))


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Witness:
    """What the server below holds, asked without the layer and without the product."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self._server, self._prefix = server, prefix
        self._client = server.client()

    def sums(self) -> dict[str, str]:
        found = self._client.list_objects_v2(Bucket=self._server.bucket, Prefix=self._prefix).get("Contents", [])
        return {item["Key"].removeprefix(self._prefix): self._sum(item["Key"]) for item in found}

    def uploads(self) -> list[str]:
        """The open multipart uploads."""
        found = self._client.list_multipart_uploads(Bucket=self._server.bucket, Prefix=self._prefix)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def _sum(self, key: str) -> str:
        body = self._client.get_object(Bucket=self._server.bucket, Key=key)["Body"]
        return hashlib.sha256(body.read()).hexdigest()


def faults_of(layer: StrictS3) -> list[str]:
    """Rules that we broke."""
    wrong = (seen for seen in layer.seen if seen.code not in OURS and "/.scigate-probe-" not in seen.key)
    found = [f"{seen.operation} of {seen.key} was refused: {seen.code}" for seen in wrong]
    return found + [f"the server below lied: {lie}" for lie in layer.lies]


LOOKS: Final = 6
"""Requests that only look after an attempt at a large file that was refused: at the object, and twice at the parts of
its upload, which it marks as its own. A small file was refused before anything of it began: there is nothing to see."""
PUBLISHING: Final = frozenset({"PutObject", "CompleteMultipartUpload", "CopyObject"})


def is_done(seen: Seen) -> bool:
    """Whether the request was carried out, answered or not."""
    return seen.code == "InternalError" if seen.status == 500 else seen.status == 200 and not seen.code


@pytest.mark.parametrize(
    "weather", [pytest.param(name, marks=[pytest.mark.long] * (name in RARE)) for name in WEATHERS]
)
def test_there_and_back(ground: Ground, strict: StrictS3, weather: str) -> None:
    """Files of every way to be stored go to a strict server, are copied inside it, and come back; both directions
    with a condition on what is there."""
    begun = time.monotonic()
    source, back = ground.posix("lab"), ground.posix("back")
    prefix = ground.s3("far", strict.server, part_size=PART)
    fill(source, SIZES)
    right = sums(source)
    ground.start()
    strict.weather = replace(WEATHERS[weather], met=Counter())
    wrong: list[str] = []
    for start, end in (("lab:/", "far:/up/"), ("far:/up/", "far:/copy/"), ("far:/copy/", "back:/")):
        transfer = ground.submit(*[(start + name, end + name) for name in SIZES])
        done = ground.settled(transfer)
        wrong += [] if done["state"] == "DONE" else [f"{start} → {end}: {ground.files(transfer)}"]
    met, strict.weather = strict.weather.met, Weather()
    witness = Witness(strict.below, prefix)
    wrong += [] if sums(back) == right else ["other bytes came back"]
    wrong += [] if witness.sums() == {f"{at}/{n}": v for at in ("up", "copy") for n, v in right.items()} else ["stored"]
    wrong += [f"an upload was left: {left}" for left in witness.uploads()] + faults_of(strict)
    record("strict.s3", runs=3 * len(SIZES), bad=len(wrong), seconds=time.monotonic() - begun, part=weather)
    assert wrong == []
    assert weather in {"clear", "closed"} or met.keys() - {Mood.FINE}


LOST: Final = {
    "PutObject": 1,
    "UploadPart": 2,
    "CreateMultipartUpload": 2,
    "CompleteMultipartUpload": 1,
    "CopyObject": 1,
}
"""Operation → every how many of its answers get lost. Those with 1 never are answered: what was done must be found."""


@pytest.mark.parametrize("operation", LOST)
def test_what_was_done_is_not_done_twice(ground: Ground, strict: StrictS3, operation: str) -> None:
    """500 after the work was done: the next try finds out, and nothing is stored a second time."""
    begun, source = time.monotonic(), ground.posix("lab")
    prefix = ground.s3("far", strict.server, part_size=PART)
    fill(source, sizes := {"small": 70 * KiB, "three-parts": 2 * PART + 1, "two-parts": 8 * MiB + 1})
    ground.start()
    for start, end in (("lab:/", "far:/warm/"), ("far:/warm/", "far:/asked/")):  # what it can do is known by then
        first = ground.submit(*[(f"{start}{name}", f"{end}{name}") for name in sizes])
        assert ground.settled(first)["state"] == "DONE"
    strict.seen.clear()
    strict.weather = Weather(lost_every=LOST[operation], only=frozenset({operation}))
    start = "far:/warm/" if operation == "CopyObject" else "lab:/"
    transfer = ground.submit(*[(f"{start}{name}", f"far:/there/{name}") for name in sizes])
    done = ground.settled(transfer)
    strict.weather = Weather()
    made = Counter(seen.key for seen in strict.seen if seen.operation in PUBLISHING and is_done(seen))
    witness = Witness(strict.below, prefix)
    wrong = [f"{key} was stored {count} times" for key, count in made.items() if count > 1] + faults_of(strict)
    wrong += [f"an upload was left: {left}" for left in witness.uploads()]
    wrong += [] if done["state"] == "DONE" else [ground.tell(transfer)]
    held = {name.removeprefix("there/"): value for name, value in witness.sums().items() if name.startswith("there/")}
    wrong += [] if held == sums(source) else [f"other bytes: {held}"]
    record("strict.s3", runs=len(sizes), bad=len(wrong), seconds=time.monotonic() - begun, part=f"lost {operation}")
    assert wrong == []
    assert any(seen.operation == operation and seen.status == 500 for seen in strict.seen)


def test_a_folder_slowed_down_costs_no_storm(ground: Ground, strict: StrictS3) -> None:
    """Every 8th request is refused with SlowDown: the folder arrives, nothing is written twice, and a refusal costs
    one more try and, of the large file, what it takes to go on where it was."""
    begun, source = time.monotonic(), ground.posix("lab")
    prefix = ground.s3("far", strict.server, part_size=PART)
    fill(source / "tree", {f"{at}/{number}": 2000 + number for at in "abcd" for number in range(15)})
    fill(source / "tree", {"large": 2 * PART + 1})
    right = sums(source / "tree")
    ground.start()
    asked: dict[str, Counter[str]] = {}
    small, written = dict[str, int](), dict[str, int]()
    wrong = []
    for name, every in (("warm", 0), ("calm", 0), ("busy", 8)):
        strict.seen.clear()
        strict.weather = Weather(slow_down_every=every, retry_after=("1", None, "0"))
        transfer = ground.submit(("lab:/tree/", f"far:/{name}/"))
        wrong += [] if ground.settled(transfer)["state"] == "DONE" else [ground.tell(transfer)]
        of_large = [seen for seen in strict.seen if not seen.key or "large" in seen.key]  # listings have no key
        asked[name] = Counter(seen.code if seen.code == "SlowDown" else seen.operation for seen in of_large)
        small[name] = sum(seen.code != "SlowDown" and seen not in of_large for seen in strict.seen)
        written[name] = sum(seen.operation in PUBLISHING and is_done(seen) for seen in strict.seen)
        wrong += faults_of(strict)
    refused = sum(seen.code == "SlowDown" for seen in strict.seen)
    refused_large, strict.weather = asked["busy"].pop("SlowDown", 0), Weather()
    witness = Witness(strict.below, prefix)
    wrong += [f"an upload was left: {left}" for left in witness.uploads()]
    held = witness.sums()
    wrong += [] if held == {f"{name}/{n}": value for name in asked for n, value in right.items()} else ["other bytes"]
    wrong += [] if written["busy"] == written["calm"] == len(right) else [f"written: {written}"]
    wrong += [] if small["busy"] == small["calm"] else [f"requests for small files: {small}"]
    most = asked["calm"].total() + LOOKS * refused_large
    wrong += [] if asked["busy"].total() <= most else [f"{refused_large} refusals of the large file: {asked}"]
    figures = {name: small[name] + asked[name].total() for name in ("calm", "busy")} | {"refused": refused}
    record("strict.s3", runs=len(right), bad=len(wrong), seconds=time.monotonic() - begun, part="folder", **figures)
    assert wrong == []
    assert refused >= 5


def test_uploads_arrive_on_a_bad_day(ground: Ground, strict: StrictS3) -> None:
    begun = time.monotonic()
    prefix = ground.s3("far", strict.server, part_size=PART)
    ground.start()
    strict.weather = Weather(slow_down_every=9, lost_every=6, close_every=7, bare_xml=True, seed=5)
    sent = {f"{size}": random.Random(size).randbytes(size) for size in (0, 3000, 6 * MiB, 3 * PART + 5)}
    transfers = [
        ground.client.put(f"/files/far/{name}", content=data).json()["transfer"]["id"] for name, data in sent.items()
    ]
    ended = [ground.settled(transfer)["state"] for transfer in transfers]
    strict.weather = Weather()
    witness = Witness(strict.below, prefix)
    wrong = faults_of(strict) + [f"an upload was left: {left}" for left in witness.uploads()]
    wrong += [f"{state}: {ground.tell(it)}" for it, state in zip(transfers, ended, strict=True) if state != "DONE"]
    right = {name: hashlib.sha256(data).hexdigest() for name, data in sent.items()}
    wrong += [] if witness.sums() == right else ["other bytes"]
    record("strict.s3", runs=len(sent), bad=len(wrong), seconds=time.monotonic() - begun, part="uploads")
    assert wrong == []
