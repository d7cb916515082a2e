"""The runs themselves: every round each peer once, in an order that is drawn anew, and nobody is believed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scigate.gateway_api.demo import witness

from .cases import BenchmarkFailed, Case
from .measure import Figures
from .peers import Job, Peer, Rclone
from .workspace import Media, Sources, stage

REST: Final = 1.0  # seconds in which the servers may finish what the last run left to them


@dataclass(frozen=True, slots=True)
class Run:
    """What one peer needed in one round."""

    round: int
    peer: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Plan:
    """``cold``: what the sources' files hold in the page cache is dropped before each run, ``rest`` seconds before."""

    cases: Sequence[Case]
    rounds: int
    seed: int
    cold: bool = True
    rest: float = REST


def order(plan: Plan, case: Case, peers: Sequence[Peer]) -> list[list[Peer]]:
    """Who runs when: for each round, all peers in random order; the same for the same seed."""
    drawn = random.Random(f"{plan.seed} {case.name}")
    return [drawn.sample(list(peers), len(peers)) for _ in range(plan.rounds)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Peers side by side. ``told`` hears of every run."""

    plan: Plan
    peers: Sequence[Peer]
    media: Media
    sources: Sources
    told: Callable[[str], None]

    def run(self, case: Case) -> list[Run]:
        """All rounds of one case. ``BenchmarkFailed`` when a peer fails, or did not deliver what it says."""
        runs: list[Run] = []
        able = [peer for peer in self.peers if peer.cannot(case) is None]
        with stage(case, self.media, self.sources, Rclone(), self.plan.rounds * len(able)) as made:
            for number, row in enumerate(order(self.plan, case, able), 1):
                for peer in row:
                    with made.job() as job:
                        figures = self._measure(job, peer)
                    runs.append(Run(number, peer.name, figures))
                    self.told(f"{case.name} {number}: {peer.name} {figures.wall:.2f} s, {figures.cpu:.2f} s CPU")
        return runs

    def _measure(self, job: Job, peer: Peer) -> Figures:
        settle(job, cold=self.plan.cold, rest=self.plan.rest)
        figures = peer.run(job)
        check(job, peer, self.sources.digests[job.case.load.name])
        return figures


def settle(job: Job, *, cold: bool, rest: float = REST) -> None:
    """The same start for everybody: nothing waits to be written, and either all or nothing of the source is cached."""
    os.sync()
    if cold:
        job.source.evict()
    else:
        job.source.digests()  # reads everything
    time.sleep(rest)


def check(job: Job, peer: Peer, expected: dict[str, str]) -> None:
    """Compare every file at the destination with the source, by SHA-256; no clock is running."""
    finding = witness.compare(expected, job.destination.digests())
    if finding.wrong:
        shown = "; ".join(finding.wrong[:5])
        raise BenchmarkFailed(
            f"{peer.name} said it was done, but in {job.case.name} {len(finding.wrong)} files: {shown}"
        )
