"""Where the engine spends its time: ``python -m benchmarks.profile small-local-local``.

Runs one case of the benchmark once, with the whole gateway inside this process, and prints for each kind of thread its
CPU seconds and where it was: ``inclusive`` with all it called, ``exclusive`` with the line that it stood on. The main
thread is the client.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scigate.gateway_api.client import Gateway, GatewayError
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import build
from scigate.storage_backends.testing.servers import ServerFailed, ServerMissing

from . import cases
from .compare import settle
from .gateway import settings
from .measure import Stopwatch
from .peers import Job, Rclone, ends, wait, warm_up
from .sampler import Role, Sampler
from .workspace import Media, Sources, stage


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile what the command line asks for."""
    options = _parser().parse_args(arguments)
    folder = options.folder.absolute()
    folder.mkdir(mode=0o700, parents=True)
    try:
        (case,) = cases.select(cases.all_cases(_loads(options.quick)), [options.case])
        wall, sampler = profile(case, folder, Path(options.s3_folder or folder), warm=options.warm)
    except (cases.BenchmarkFailed, GatewayError, ServerMissing, ServerFailed) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    print(render(case.name, wall, sampler, options.top))
    return 0


def profile(case: cases.Case, folder: Path, s3: Path, *, warm: bool) -> tuple[float, Sampler]:
    """Seconds from the submit to DONE, and what the sampler saw meanwhile."""
    media = Media(folder, folder, s3)
    with stage(case, media, Sources(folder / "source"), Rclone(), 1) as made, made.job() as job:
        settle(job, cold=not warm)
        with _service(job) as client, Sampler() as sampler:
            watch = Stopwatch()
            wait(client.copy(*ends(job)), watch)
            return watch.read(), sampler


@contextmanager
def _service(job: Job) -> Iterator[Gateway]:
    chosen = settings(job.folder / "state", job.source, job.destination)
    os.environ.update(chosen.variables)
    service = build(Settings.parse(chosen.text))
    service.start()
    try:
        with Gateway(service.url, chosen.token) as client:
            warm_up(client, job)
            yield client
    finally:
        service.stop()


def render(name: str, wall: float, sampler: Sampler, top: int) -> str:
    """The roles that used most CPU first."""
    lines = [f"{name}: {wall:.2f} s, {sampler.rounds} samples of every thread"]
    for role, seen in sorted(sampler.roles.items(), key=lambda item: -item[1].cpu_seconds):
        if seen.samples or seen.cpu_seconds > 0.01:
            lines += _role(role, seen, wall / max(sampler.rounds, 1), top)
    return "\n".join(lines)


def _role(name: str, seen: Role, each: float, top: int) -> list[str]:
    states = ", ".join(f"{state} {count * each:.2f} s" for state, count in seen.states.most_common())
    lines = ["", f"== {name}: {seen.cpu_seconds:.2f} s CPU; busy {seen.samples * each:.2f} thread-seconds ({states})"]
    for title, counts in (("inclusive", seen.inclusive), ("exclusive", seen.exclusive)):
        lines += [f"   {title}", *_top(counts, each, top)]
    return lines


def _top(counts: Counter[str], each: float, top: int) -> list[str]:
    return [f"   {count * each:8.2f} s  {place}" for place, count in counts.most_common(top)]


def _loads(quick: bool) -> list[cases.Load]:
    return list(cases.QUICK if quick else cases.FULL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    add = parser.add_argument
    add("case", help="such as small-local-local or large-s3-s3")
    add("--quick", action="store_true", help="the smaller loads")
    add("--warm", action="store_true", help="the source is in the page cache")
    add("--top", type=int, default=12, help="lines of each list [default: 12]")
    add("--folder", type=Path, default=Path(".bench/profile"), help="a folder to be made for all files")
    add("--s3-folder", type=Path, help="where the S3 servers keep their data, for example in memory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
