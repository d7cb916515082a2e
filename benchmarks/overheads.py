"""``./run bench overheads``: what a file, a part and a verification cost beyond the bytes themselves.

Each figure is a difference between runs of one engine that differ in one thing only, interleaved, with files in memory
where that has room, so that a disk's moods are no part of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

from scigate.gateway_api.client import Gateway
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import S3Server, seaweedfs

from .cases import BenchmarkFailed
from .gateway import RunningGateway, gateway
from .measure import MemoryPeak, Stopwatch, cpu_of
from .outcome import add_outputs, described, kept, own_folder, publish
from .overheads_report import section
from .places import Bucket, Folder, Place
from .workspace import MEMORY

SMALL: Final = 100  # bytes of a small file: the file is measured, not its bytes
PER_FOLDER: Final = 1000
PARTS: Final = (8, 64)  # MiB
PATIENCE: Final = 60.0  # seconds
LOOKED_AT_OFTEN: Final = 10.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write what was measured; the exit code."""
    options = _parser().parse_args(arguments)
    return publish("overheads", options, kept("overheads", options, run), section)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All parts, in folders of their own that are gone afterwards."""
    counts = [int(number) for number in options.files.split(",")]
    setup = {"files": counts, "size": options.size * MiB, "rounds": options.rounds, "small": SMALL}
    result = described(options.name, setup)
    wanted = options.parts.split(",") if options.parts else ["linear", "verification", "parts"]
    _require_memory(options.size * MiB, options.rounds)
    with own_folder(MEMORY / f"scigate-overheads-{os.getpid()}") as folder:
        if "linear" in wanted:
            result["linear"] = [_linear(folder / str(number), number) for number in counts]
        if "verification" in wanted:
            result["verification"] = _verification(folder, options.size * MiB, options.rounds)
        if "parts" in wanted:
            result["parts"] = _parts(folder, options.size * MiB, options.rounds)
    return result


def _require_memory(size: int, rounds: int) -> None:
    """Twice in each round the file goes to the S3 server, which keeps what is replaced; with what lies in folders
    beside it that has to fit, or the kernel kills the server and the transfer waits for it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    needed = (2 * rounds + 4) * size
    if needed > 0.8 * min(free, shutil.disk_usage(MEMORY).free):
        raise BenchmarkFailed(
            f"{rounds} rounds with {size // MiB} MiB need {needed // MiB} MiB of memory, and {free // MiB} are free: "
            "take fewer --rounds, or a smaller --size"
        )


def _linear(folder: Path, number: int) -> dict[str, Any]:
    """One transfer of a folder with so many files."""
    source, destination = Folder(folder / "source"), Folder(folder / "destination")
    for place in (source, destination):
        place.prime()
    _make_files(source.path / "data", number)
    try:
        with gateway(folder, source, destination) as running, MemoryPeak(running.pid) as peak:
            wall, cpu = _move(running, "source:/data/", "destination:/data/")
            arrived = sum(len(files) for _, _, files in os.walk(destination.path))
    finally:
        shutil.rmtree(folder)
    if arrived != number:
        raise BenchmarkFailed(f"{number} files were sent, and {arrived} arrived")
    _tell(f"linear: {number} files, {wall:.1f} s, {1000 * cpu / number:.3f} ms of CPU each")
    return {"files": number, "wall": round(wall, 2), "cpu": round(cpu, 2), "rss": peak.bytes}


def _make_files(folder: Path, number: int) -> None:
    for index in range(number):
        place = folder / f"{index // PER_FOLDER:04d}"
        if index % PER_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"{index:07d}").write_bytes(b"%07d\n" % index + b"x" * (SMALL - 8))


def _verification(folder: Path, size: int, rounds: int) -> list[dict[str, Any]]:
    """The same copy compared by content, and by size only."""
    local, there = Folder(folder / "local"), Folder(folder / "there")
    with _server(folder / "s3") as server:
        bucket = Bucket(server, "verification", folder / "s3")
        for place in (local, there, bucket):
            place.prime()
        _make_large(local.path / "large", size)
        _to_s3(folder, local, bucket)
        ways: dict[str, tuple[Place, Place]] = {  # what fills the server's memory comes last
            "local → local": (local, there), "S3 → local": (bucket, there), "local → S3": (local, bucket),
        }  # fmt: skip
        return [{"way": way, **_compare_verify(folder, way, ends, rounds)} for way, ends in ways.items()]


def _compare_verify(folder: Path, way: str, ends: tuple[Place, Place], rounds: int) -> dict[str, Any]:
    walls: dict[str, list[float]] = {"auto": [], "size": []}
    numbers = count()
    with _fresh_gateway(folder, *ends) as running:
        for _ in range(rounds):
            for verify, seen in walls.items():
                target = f"destination:/copy-{next(numbers)}"
                seen.append(_move(running, "source:/large", target, verify=verify)[0])
                _drop(running, target)
    share = median(1 - size / auto for auto, size in zip(walls["auto"], walls["size"], strict=True))
    _tell(f"verification: {way} takes {100 * share:.1f} % of the time")
    return {
        "walls": {name: [round(wall, 3) for wall in seen] for name, seen in walls.items()},
        "share": round(share, 4),
    }


def _parts(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    """The same bytes to S3 in many small parts and in a few large ones: the difference is what parts cost."""
    local = Folder(folder / "local")
    local.prime()
    _make_large(local.path / "large", size)
    cpus: dict[int, list[float]] = {part: [] for part in PARTS}
    for number in range(rounds):
        order = PARTS if number % 2 else tuple(reversed(PARTS))
        for part, spent in _once_in_parts(folder, local, order).items():
            cpus[part].append(spent)
    numbers = [size // (part * MiB) for part in PARTS]
    each = median((small - large) / (numbers[0] - numbers[1]) for small, large in zip(*cpus.values(), strict=True))
    _tell(f"parts: {1000 * each:.2f} ms of CPU each")
    return {"parts": numbers, "cpu": {str(part): seen for part, seen in cpus.items()}, "each": round(each, 6)}


def _once_in_parts(folder: Path, local: Folder, order: Sequence[int]) -> dict[int, float]:
    """The gateway's CPU seconds with parts of so many MiB, at a server that has nothing else."""
    spent = {}
    with _server(folder / "s3") as server:
        bucket = Bucket(server, "parts", folder / "s3")
        bucket.prime()
        for part in order:
            with _fresh_gateway(folder, local, bucket, f"part_size = {part * MiB}") as running:
                spent[part] = _move(running, "source:/large", "destination:/large", overwrite="overwrite")[1]
    return spent


@contextmanager
def _server(folder: Path) -> Iterator[S3Server]:
    """A server whose data are gone afterwards."""
    folder.mkdir()
    try:
        with seaweedfs(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def _fresh_gateway(folder: Path, source: Place, destination: Place, extra: str = "") -> Iterator[RunningGateway]:
    """``extra`` goes behind the keys of the destination."""
    own = folder / f"gateway-{time.monotonic_ns()}"
    own.mkdir()
    try:
        with gateway(own, source, destination, extra) as running:
            yield running
    finally:
        shutil.rmtree(own)


def _move(running: RunningGateway, source: str, destination: str, **options: Any) -> tuple[float, float]:
    """Seconds from the submit until DONE is seen, and the gateway's CPU seconds."""
    with closing(Gateway(running.url, running.token)) as client:
        before, watch = cpu_of(running.pid), Stopwatch()
        transfer = client.copy(source, destination, **options)
        while not client.transfer(transfer.id).state.is_final:
            time.sleep(0.02 if watch.read() < LOOKED_AT_OFTEN else 0.5)
        wall = watch.read()
        transfer.wait(timeout=PATIENCE, progress=False)  # raises unless all is DONE
        return wall, cpu_of(running.pid) - before


def _drop(running: RunningGateway, target: str) -> None:
    with closing(Gateway(running.url, running.token)) as client:
        client.delete(target)


def _make_large(path: Path, size: int) -> None:
    if path.exists():
        return
    with path.open("wb") as file:
        for _ in range(size // MiB):
            file.write(os.urandom(MiB))


def _to_s3(folder: Path, local: Folder, bucket: Bucket) -> None:
    with _fresh_gateway(folder, local, bucket) as running:
        _move(running, "source:/large", "destination:/large")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench overheads", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--files", default="1000,10000,100000", metavar="N,…", help="files of the transfers [1000,10000,100000]")
    add("--size", type=int, default=1024, metavar="MIB", help="of the large file [default: 1024]")
    add("--rounds", type=int, default=3, help="how often each is measured [default: 3]")
    add("--parts", default="", metavar="NAME,…", help="only these: linear, verification, parts")
    add_outputs(parser, "overheads")
    return parser
