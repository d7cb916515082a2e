"""``./run bench uploads``: how fast one client is rid of a file, and how soon after its last byte the file is at S3."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from scigate.gateway_api.demo import witness
from scigate.gateway_api.units import parse_size
from scigate.storage_backends.backend import GiB, MiB
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.registry import BackendRegistry
from scigate.storage_backends.testing.servers import S3Server, seaweedfs

from .cases import DATA, BenchmarkFailed, write_random
from .gateway import DESTINATION, RunningGateway, gateway
from .measure import MemoryPeak, Stopwatch, cpu_of
from .outcome import add_outputs, described, kept, own_folder, publish
from .places import Bucket, Folder
from .sending import Connection, Tus
from .summary import spread
from .uploads_report import ROOT, section
from .workspace import MEMORY

POLL: Final = 0.02  # seconds between two looks at whether it is DONE
GIVEN_UP: Final = 600.0  # seconds for the second leg
PIECE: Final = 64 * MiB
BLOCK: Final = 16 * MiB  # what the engine cuts such files into for S3
FASTEST, SLOWER = 100 * MiB, 0.4
"""The client of the second leg sends so many bytes per second at most, and this part of what the storage takes."""
BARE, ALONE, ONE, MANY = "bare", "alone", "one", "many"
"""The programs of the first leg: the bare handler; a tus upload without a destination, so that nothing is read again
meanwhile; with one, in one PATCH; with one, in PATCHes of 64 MiB."""


@dataclass(frozen=True, slots=True)
class FirstLeg:
    """One run: seconds until the client is free, CPU seconds and largest resident bytes of the server."""

    round: int
    program: str
    wall: float
    cpu: float
    rss: int


@dataclass(frozen=True, slots=True)
class SecondLeg:
    """One run: seconds from the last byte until the client is free, and until the file is DONE at its storage."""

    round: int
    size: int
    answered: float
    done: float
    rss: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write what was measured; the exit code."""
    options = _parser().parse_args(arguments)
    return publish("uploads", options, kept("uploads", options, run), section)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Both legs, in a folder of their own that is gone afterwards."""
    setup = {name: getattr(options, name) for name in ("size", "sizes", "rounds", "rate", "seed")}
    with own_folder(options.folder) as folder:
        _require_space(folder, 3 * max(options.size, *options.sizes) + GiB)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        first = first_leg(folder, options)
        second, block = second_leg(folder, options)
    legs = {"first_leg": _summary(first), "second_leg": [asdict(one) for one in second], "block_seconds": block}
    return described(options.name, setup) | {"started": started} | legs


def first_leg(folder: Path, options: argparse.Namespace) -> list[FirstLeg]:
    """Each program once in each round, in an order drawn anew."""
    source = folder / "source" / DATA / "0.dat"
    write_random(source, options.size)
    expected = witness.in_folder(source.parent)["0.dat"]
    order, runs = random.Random(options.seed), []
    for number in range(1, options.rounds + 1):
        for program in order.sample((BARE, ALONE, ONE, MANY), 4):
            with _emptied(folder / "run") as own:
                subprocess.run(["sync", "-f", str(folder)], check=True)
                _warm(source)
                measure = _bare if program == BARE else _tus
                runs.append(measure(number, program, source, own, expected))
                _tell(f"round {number}: {program} {runs[-1].wall:.2f} s, {runs[-1].rss / MiB:.0f} MiB")
    shutil.rmtree(folder / "source")
    return runs


def _bare(number: int, program: str, source: Path, folder: Path, expected: str) -> FirstLeg:
    command = [sys.executable, "-m", "benchmarks.bare", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(json.loads(process.stdout.readline())["port"])
            with Connection(port) as client, MemoryPeak(process.pid) as peak:
                before, watch = cpu_of(process.pid), Stopwatch()
                client.send("PUT", "/0.dat", source)
                wall, cpu = watch.read(), cpu_of(process.pid) - before
        finally:
            process.terminate()
    _check(witness.in_folder(folder), expected)
    return FirstLeg(number, program, wall, cpu, peak.bytes)


def _tus(number: int, program: str, source: Path, folder: Path, expected: str) -> FirstLeg:
    destination = Folder(folder / "destination")
    destination.prime()
    target = None if program == ALONE else f"{DESTINATION}:/{DATA}/0.dat"
    with gateway(folder, Folder(folder), destination) as running, Tus(running) as client:
        _warm_up(client, folder)
        with MemoryPeak(running.pid) as peak:
            before, watch = cpu_of(running.pid), Stopwatch()
            upload = client.create(source.stat().st_size, target)
            client.append(upload, source, piece=PIECE if program == MANY else None)
            wall, cpu = watch.read(), cpu_of(running.pid) - before
            if target is not None:
                _until_done(client, upload)
                _check(destination.digests(), expected)
        return FirstLeg(number, program, wall, cpu, peak.bytes)


def second_leg(folder: Path, options: argparse.Namespace) -> tuple[list[SecondLeg], float]:
    """Files of several sizes to S3, by a client that is slower than the storage; and the seconds of one block."""
    runs: list[SecondLeg] = []
    with _server_folder(folder, 2 * max(options.sizes) + GiB) as place, seaweedfs(place) as server:
        with _bucket(server, "block-time", place) as bucket:
            block = _block_seconds(bucket)
        options.rate = options.rate or int(min(FASTEST, SLOWER * BLOCK / block))
        for number, size in [(number, size) for number in range(1, options.rounds + 1) for size in options.sizes]:
            source = folder / "source" / "0.dat"
            write_random(source, size)
            with _bucket(server, f"run-{len(runs)}", place) as bucket, _emptied(folder / "run") as own:
                with gateway(own, Folder(own), bucket) as running, Tus(running) as client:
                    _warm_up(client, own)
                    runs.append(_to_s3(number, source, running, client, options.rate))
                _check(bucket.digests(), witness.in_folder(source.parent)["0.dat"])
            _tell(f"round {number}: {size / MiB:.0f} MiB, DONE {runs[-1].done:.2f} s after the last byte")
    shutil.rmtree(folder / "source")
    return runs, block


@contextmanager
def _server_folder(folder: Path, needed: int) -> Iterator[Path]:
    """In memory where that has room: what is measured is the gateway, not the server's disk."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > needed
    place = MEMORY / f"scigate-uploads-{random.getrandbits(32):08x}" if has_room else folder / "server"
    with _emptied(place):
        yield place


@contextmanager
def _bucket(server: S3Server, name: str, folder: Path) -> Iterator[Bucket]:
    bucket = Bucket(server, name, folder)
    bucket.prime()
    try:
        yield bucket
    finally:
        bucket.drop()


def _to_s3(number: int, source: Path, running: RunningGateway, client: Tus, rate: float) -> SecondLeg:
    with MemoryPeak(running.pid) as peak:
        upload = client.create(source.stat().st_size, f"{DESTINATION}:/{DATA}/0.dat")
        sent = client.append(upload, source, rate=rate)
        answered = time.monotonic() - sent.last_byte
        _until_done(client, upload)
        done = time.monotonic() - sent.last_byte
    return SecondLeg(number, source.stat().st_size, answered, done, peak.bytes)


def _block_seconds(bucket: Bucket) -> float:
    """What one block takes to this storage when nothing else goes on: the median of a few."""
    kind = BackendRegistry().get("s3")
    keys, _ = bucket.storage(DESTINATION)
    own = {**keys, "secret_key": Secret(bucket.server.secret_key)}
    backend = kind.build(kind.options.model_validate({name: own[name] for name in own.keys() - {"type"}}))
    draft = backend.draft("block-time", 5 * BLOCK, key="block-time")
    seconds = []
    for number in range(5):
        data, watch = os.urandom(BLOCK), Stopwatch()
        draft.write(number, number * BLOCK, BLOCK, [data])
        seconds.append(watch.read())
    draft.discard()
    return median(seconds)


def _until_done(client: Tus, upload: str) -> None:
    end = time.monotonic() + GIVEN_UP
    while (state := client.show(upload)["state"]) != "DONE":
        if state not in ("RECEIVING", "RECEIVED") or time.monotonic() > end:
            raise BenchmarkFailed(f"the upload ended {state}: {client.show(upload)['cause']}")
        time.sleep(POLL)


def _warm_up(client: Tus, folder: Path) -> None:
    """An upload that does not count: a service has loaded its libraries and made its connections."""
    write_random(folder / "warm-up", 9 * MiB)
    upload = client.create(9 * MiB, f"{DESTINATION}:/warm-up")
    client.append(upload, folder / "warm-up")
    _until_done(client, upload)
    (folder / "warm-up").unlink()


def _check(found: Mapping[str, str], expected: str) -> None:
    if list(found.values()) != [expected]:
        raise BenchmarkFailed("what arrived is not what was sent; no result is written")


def _summary(runs: Sequence[FirstLeg]) -> dict[str, Any]:
    """Medians with the extremes, and how fast each program is in parts of the bare handler's speed."""
    programs = {}
    bare = {run.round: run.wall for run in runs if run.program == BARE}
    for program in (BARE, ALONE, ONE, MANY):
        own = [run for run in runs if run.program == program]
        figures = {name: spread([getattr(run, name) for run in own]) for name in ("wall", "cpu", "rss")}
        speed = median(bare.values()) / median(run.wall for run in own)
        each = [bare[run.round] / run.wall for run in own]
        programs[program] = {**figures, "speed": {"median": speed, "min": min(each), "max": max(each)}}
    return {"programs": programs, "runs": [asdict(run) for run in runs]}


def _warm(path: Path) -> None:
    """Read a file into the page cache: what is measured is the server, not the client's disk."""
    with path.open("rb") as file:
        while file.read(4 * MiB):
            continue


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    try:
        yield _made(folder)
    finally:
        shutil.rmtree(folder)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _require_space(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        text = f"{needed / GiB:.1f} GiB are needed and {free / GiB:.1f} GiB are free: take a smaller --size"
        raise BenchmarkFailed(text)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench uploads", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--size", type=_size, default=2 * GiB, help="of the file of the first leg [default: 2 GiB]")
    add("--sizes", type=_sizes, default=[64 * MiB, 512 * MiB, 2 * GiB], metavar="SIZE,…", help="of those that go to S3")
    add(
        "--rate", type=_size, default=64 * MiB, help="bytes per second of the client that sends to S3 [default: 64 MiB]"
    )
    add("--rounds", type=int, default=3, metavar="N", help="how often each is run [default: 3]")
    add("--seed", type=int, default=random.getrandbits(32), help="draws the order of the runs")
    add("--folder", type=Path, default=ROOT / ".bench" / "uploads", help="a folder to be made on the disk to measure")
    add_outputs(parser, "uploads")
    return parser


def _size(text: str) -> int:
    return int(str(parse_size(text)))


def _sizes(text: str) -> list[int]:
    return [_size(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
