"""``./run bench soak``: a mixed load for as long as asked, with a fault every minute, and what the gateway keeps of it.

Every file that is DONE is read by another program and compared; memory, descriptors and the write-ahead log are
looked at all the time. In the first half the gateway is killed now and then; in the second half it is the same process,
so that its memory can be seen to grow or not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import seaweedfs

from .outcome import add_outputs, described, kept, own_folder
from .places import Bucket
from .soak_faults import Life, Network, fill, free_port, settings, small_disk
from .soak_work import Crowd, Reader, make_sources, web_server
from .uploads_report import ROOT

LOOK: Final = 5.0  # seconds between two looks at the process, unless faults are more frequent
WARM: Final = 600.0  # seconds of a life that do not count: libraries are loaded, pools, caches and rings fill
DRAIN: Final = 240.0  # seconds after the last fault for all that was asked to end


@dataclass(frozen=True, slots=True)
class Look:
    """At the process: seconds since the soak began and since its start, bytes, open descriptors, threads."""

    at: float
    life: int
    age: float
    rss: int
    descriptors: int
    threads: int
    wal: int


@dataclass(frozen=True, slots=True)
class Fault:
    """``seconds``: until the gateway answered again, of those that stop it."""

    at: float
    kind: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, and write what was seen; the exit code is 1 when something was wrong."""
    options = _parser().parse_args(arguments)
    if (result := kept("soak", options, run)) is None:
        return 1
    print(json.dumps({name: result[name] for name in ("memory", "descriptors", "wal", "counts", "wrong")}, indent=1))
    return 1 if result["wrong"] else 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """In a folder of its own that is gone afterwards."""
    with own_folder(options.folder) as folder:
        return _soak(folder, options)


def _soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with ExitStack() as stack:
        stage = stack.enter_context(_stage(folder, options.seed))
        looks, faults = _nemesis(stage, options)
        stage.crowd.stop()
        _drained(stage)
        stage.reader.again()
        leftovers = _leftovers(stage)
    book, setup = stage.crowd.book, {name: getattr(options, name) for name in ("minutes", "every", "pause", "seed")}
    return {
        **described(options.name, setup), "started": started,
        "memory": _growth(looks, lambda look: look.rss), "descriptors": _growth(looks, lambda look: look.descriptors),
        "wal": max(look.wal for look in looks), "lives": looks[-1].life, "faults": [asdict(one) for one in faults],
        "counts": dict(sorted(book.counts.items())), "slowest_transfer": round(book.slowest, 1),
        "wrong": book.wrong + leftovers, "looks": [asdict(look) for look in looks],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """All that runs during the soak."""

    life: Life
    crowd: Crowd
    reader: Reader
    network: Network
    disk: Path | None
    state: Path
    folders: dict[str, Path]
    bucket: tuple[Any, str]
    began: float


@contextmanager
def _stage(folder: Path, seed: int) -> Iterator[Stage]:
    with ExitStack() as stack:
        sources = make_sources(folder / "lab", seed)
        web = web_server(folder / "lab")
        stack.callback(web.shutdown)
        (folder / "s3").mkdir()
        server = stack.enter_context(seaweedfs(folder / "s3"))
        network = Network(server.endpoint)
        stack.callback(network.close)
        bucket = Bucket(server, "soak", folder / "s3")
        bucket.prime()
        disk = stack.enter_context(small_disk(folder / "small"))
        folders = {"disk": folder / "disk"} | ({"small": disk / "data"} if disk else {})
        for path in folders.values():
            path.mkdir()
        keys, hidden = bucket.storage("s3")
        os.environ.update(hidden)
        storages: dict[str, dict[str, object]] = {"s3": {**keys, "endpoint": network.url}}
        storages |= {name: {"type": "posix", "root": str(path)} for name, path in folders.items()}
        storages["lab"] = {"type": "posix", "root": str(folder / "lab"), "read_only": True}
        token, port, pulls = secrets.token_hex(32), free_port(), web.server_port
        hashed, config = sha256(token.encode()).hexdigest(), folder / "scigate.toml"
        config.write_text(settings(port, folder / "state", hashed, storages, pulls))
        life = Life(config, folder / "gateway.log", port)
        stack.callback(life.stop)
        crowd = Crowd(life.url, token, sources, ["s3", *folders], f"http://127.0.0.1:{pulls}")
        client = server.client()
        stack.callback(client.close)
        reader = Reader(crowd, folders, (client, "soak"))
        yield Stage(
            life, crowd, reader, network, disk, folder / "state", folders, (client, "soak"), time.monotonic()
        )  # fmt: skip


def _nemesis(stage: Stage, options: argparse.Namespace) -> tuple[list[Look], list[Fault]]:
    """The load, the looks, and a fault every ``every`` seconds, however late; kills only in the first half."""
    stage.crowd.start(stage.state.parent / "lab", options.pause)
    chance, looks, faults = random.Random(options.seed), list[Look](), list[Fault]()
    reading = threading.Thread(target=_read, args=(stage,), name="soak-reader", daemon=True)
    reading.start()
    seconds, next_fault, born = 60.0 * options.minutes, options.every, stage.began
    while (at := time.monotonic() - stage.began) < seconds or next_fault < seconds:
        if at >= next_fault:
            next_fault += options.every
            kind = chance.choice(_kinds(stage, may_kill=at < seconds / 2))
            faults.append(Fault(round(at, 1), kind, round(_happens(stage, kind), 2)))
            born = time.monotonic() if kind == "kill" else born
            print(f"soak {at:.0f} s: {kind}, answers again after {faults[-1].seconds} s", file=sys.stderr, flush=True)
        looks.append(_look(stage, time.monotonic() - born))
        time.sleep(min(LOOK, options.every / 4))
    return looks, faults


def _kinds(stage: Stage, *, may_kill: bool) -> list[str]:
    return ["freeze", "reset", "reset all"] + ["full"] * bool(stage.disk) + ["kill", "kill"] * may_kill


def _happens(stage: Stage, kind: str) -> float:
    if kind == "kill":
        return stage.life.kill()
    if kind == "freeze":
        return stage.life.freeze()
    if kind == "full" and stage.disk:
        return fill(stage.disk)
    for _ in range(10 if kind == "reset all" else 1):  # also those that are made anew
        stage.network.reset()
        time.sleep(0.5)
    return 0.0


def _read(stage: Stage) -> None:
    while not stage.crowd.ended.wait(2.0):
        stage.reader.round()


def _drained(stage: Stage) -> None:
    """Wait for all that was asked; what does not end is wrong."""
    end = time.monotonic() + DRAIN
    stage.reader.hurry()
    while stage.reader.round() and time.monotonic() < end:
        time.sleep(1.0)
    for transfer, its in stage.crowd.book.asked.items():
        stage.crowd.book.accuse(f"the {its.kind} {transfer} has not ended")


def _look(stage: Stage, age: float) -> Look:
    """The process may just be gone: then at the next time."""
    process, wal = Path(f"/proc/{stage.life.pid}"), stage.state / "scigate.db-wal"
    lines = (line.split() for line in (process / "status").read_text().splitlines())
    number = {line[0]: int(line[1]) for line in lines if line[0] in {"VmRSS:", "Threads:"}}
    size = wal.stat().st_size if wal.exists() else 0
    return Look(
        round(time.monotonic() - stage.began, 1), stage.life.number, round(age, 1), 1024 * number["VmRSS:"],
        len(os.listdir(process / "fd")), number["Threads:"], size,
    )  # fmt: skip


def _growth(looks: Sequence[Look], value: Callable[[Look], int]) -> dict[str, Any]:
    """Of the last life, which is the longest: first and last values once warm, the largest of all, the slope."""
    last = [look for look in looks if look.life == looks[-1].life and look.age >= WARM]
    edge = max(1, len(last) // 10)
    first, end = [[value(look) for look in part] for part in (last[:edge], last[-edge:])]
    per_hour = _slope([(look.age, value(look)) for look in last]) * 3600 if len(last) > 2 else None
    return {
        "seconds": round(last[-1].age - last[0].age) if last else 0,
        "first": median(first) if first else None, "last": median(end) if end else None,
        "largest": max(value(look) for look in looks), "per_hour": per_hour and round(per_hour, 2),
        "per_hour_mib": per_hour and round(per_hour / MiB, 3),
    }  # fmt: skip


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """By least squares."""
    middle, mean = (sum(part) / len(points) for part in zip(*points, strict=True))
    below = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - mean) for x, y in points) / below if below else 0.0


def _leftovers(stage: Stage) -> list[str]:
    """Files and multipart uploads that nobody asked for, once all has ended and the gateway has tidied up."""
    end, found = time.monotonic() + 45, list[str]()
    while time.monotonic() < end and (found := _surplus(stage)):
        time.sleep(2.0)
    return found


def _surplus(stage: Stage) -> list[str]:
    kept = {(storage, path) for storage, path, _ in stage.crowd.book.kept}
    found = []
    for storage, folder in stage.folders.items():
        for path in folder.rglob("*"):
            if path.is_file() and (storage, str(path.relative_to(folder))) not in kept:
                found.append(f"{storage}:/{path.relative_to(folder)} is there, and nobody asked for it")
    client, bucket = stage.bucket
    uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return found + [f"s3:/{upload['Key']}: a multipart upload was left" for upload in uploads]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench soak", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--minutes", type=float, default=30.0, help="how long the load lasts [default: 30]")
    add("--every", type=float, default=60.0, help="seconds between two faults [default: 60]")
    add("--pause", type=float, default=1.0, help="seconds between two acts of one person [default: 1]")
    add("--seed", type=int, default=random.getrandbits(32), help="draws the faults and the files")
    add("--folder", type=Path, default=ROOT / ".bench" / "soak", help="a folder to be made on the disk to measure")
    add_outputs(parser, "soak", page=False)
    return parser


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
