"""``./run bench load``: how many requests a gateway answers, how soon, and what a long queue does to it.

Two cores carry the gateway and who asks it. Rates are of requests that a user makes: with a token, and a submit is
answered after its commit is durable (SQLite, ``synchronous=FULL``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from . import load_queue
from .cases import BenchmarkFailed
from .load_gateway import Asked, LoadedGateway, free_gateway, held_gateway
from .load_report import section
from .outcome import add_outputs, described, kept, own_folder, publish
from .uploads_report import ROOT

GETS, SUBMITS = 1500, 500  # per second: what is aimed at
CONNECTIONS: Final = (16, 64)
LISTED: Final = 20  # transfers on a page of the list


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write what was measured; the exit code."""
    options = _parser().parse_args(arguments)
    return publish("load", options, kept("load", options, run), lambda result: section(result, _soak(options.results)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All parts, in a folder of their own that is gone afterwards."""
    setup = _setup(options)
    with own_folder(options.folder) as folder:
        result = described(options.name, setup)
        for name, part in _parts(setup).items():
            if not options.parts or name in options.parts.split(","):
                _tell(f"load: {name}")
                with own_folder(folder / name) as own:
                    result[name] = part(own)
    return result


def _setup(options: argparse.Namespace) -> dict[str, Any]:
    quick = options.quick
    usual = {"seconds": 10, "queued": 100_000, "active": 1000, "million": 1_000_000}
    small = {"seconds": 2, "queued": 3_000, "active": 40, "million": 5_000}
    chosen = small if quick else usual
    return {name: getattr(options, name) or value for name, value in chosen.items()} | {"listed": LISTED}


def _parts(setup: dict[str, Any]) -> dict[str, Callable[[Path], Any]]:
    return {
        "gets": lambda folder: _gets(folder, setup),
        "submits": lambda folder: _submits(folder, setup),
        "queued": lambda folder: load_queue.queued(folder, setup["queued"], setup["seconds"]),
        "active": lambda folder: load_queue.active(folder, setup["active"], setup["seconds"]),
        "million": lambda folder: load_queue.million(folder, setup["million"]),
    }


def _gets(folder: Path, setup: dict[str, Any]) -> list[dict[str, Any]]:
    """8 of 10 show a transfer, one lists the newest, one asks for the status."""
    with free_gateway(folder) as gateway:
        ids = [gateway.submit_one(f"warm-{number}") for number in range(40)]
        gateway.until_idle()
        shows = [f"/api/v1/transfers/{id}" for id in ids]
        paths = [*shows, *[f"/api/v1/transfers?limit={LISTED}"] * 5, *["/api/v1/status"] * 5]
        return _loads(gateway, setup["seconds"], GETS, gets=paths)


def _submits(folder: Path, setup: dict[str, Any]) -> list[dict[str, Any]]:
    """Of one file each, which stays queued: the engine's slot is taken by a source that drips."""
    with held_gateway(folder) as gateway:
        body = {"files": [{"source": "source:/small", "destination": "destination:/{n}"}]}
        runs = _loads(gateway, setup["seconds"], SUBMITS, submits=body)
        accepted, stored = sum(run["statuses"].get("202", 0) for run in runs), gateway.queued()
        if stored < accepted:
            raise BenchmarkFailed(f"{accepted} submits were acknowledged, and {stored} are in the database")
        return runs


def _loads(gateway: LoadedGateway, seconds: float, rate: int, **what: Any) -> list[dict[str, Any]]:
    """Closed with few and many connections, then open at the rate that is aimed at."""
    load(gateway, Asked(16, min(3.0, seconds), None, what))  # a service has loaded its libraries
    plans = [Asked(number, seconds, None, what) for number in CONNECTIONS]
    return [load(gateway, plan) for plan in [*plans, *(Asked(number, seconds, rate, what) for number in CONNECTIONS)]]


def load(gateway: LoadedGateway, asked: Asked) -> dict[str, Any]:
    """One run of the generator in its own process, and what the gateway took for it."""
    plan = {"port": gateway.port, "token": gateway.token, **asked.plan()}
    before = gateway.cpu()
    command = [sys.executable, "-m", "benchmarks.load_client"]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise BenchmarkFailed(f"the load generator failed: {done.stderr[-500:]}")
    seen: dict[str, Any] = json.loads(done.stdout)
    used = {"cpu": round(gateway.cpu() - before, 2), "rss": gateway.rss()}
    _tell(f"load: {asked.rate or 'closed'}, {asked.connections} connections: {seen['rate']}/s, p99 {seen['p99']} ms")
    return {"connections": asked.connections, "wanted": asked.rate, **seen, **used}


def _soak(results: Path) -> dict[str, Any] | None:
    measured = results / "soak.json"
    return json.loads(measured.read_text()) if measured.exists() else None


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench load", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--quick", action="store_true", help="short and small: whether it works, not how fast it is")
    add("--seconds", type=float, help="of each run [default: 10, quick: 2]")
    add("--queued", type=int, metavar="N", help="files in the long queue [default: 100000]")
    add("--active", type=int, metavar="N", help="files that move at once [default: 1000]")
    add("--million", type=int, metavar="N", help="files of the large submit [default: 1000000]")
    add("--parts", default="", metavar="NAME,…", help="only these: gets, submits, queued, active, million")
    add("--folder", type=Path, default=ROOT / ".bench" / "load", help="a folder to be made on the disk to measure")
    add_outputs(parser, "load")
    return parser


if __name__ == "__main__":
    sys.exit(main())
