"""A run in which each gateway dies at a named point, one after the other in one world, and the judgement at the end."""

from __future__ import annotations

import itertools
import random
import select
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import checker
from .case import Operation
from .client import NOT_ANSWERED, TRANSFERS
from .ground import World
from .points import Both, KillAt, Record, counts
from .process import GatewayProcess, Nursery
from .run import Result, Run
from .scenes import LATER, Scene, Scenes, Target, scene_of
from .tidying import TIDYING, Tidying
from .watcher import Watcher

REACHED_IN: Final = 240.0  # seconds from the start of a gateway until its point is reached
SOON: Final = 30.0  # the same where something has to happen in the right moment: at first, then it is tried again
TRIES: Final = (1, 4, 20)  # so many times as long all takes that is slow on purpose, as a busy machine may need it
AHEAD: Final = 5.0  # seconds after which a request begins that is for later, once the gateway answers
DEADLINE: Final = 20.0  # seconds that a request has that shall be too late


class PointRun(Run):
    """Kills at ``targets``, in this order. With ``twice`` every gateway that comes after dies as well, as soon as it
    begins to set things right."""

    def __init__(
        self, world: World, nursery: Nursery, seed: int, *, targets: Sequence[Target], twice: bool = False
    ) -> None:
        super().__init__(world, nursery, seed)
        self._targets, self._twice = targets, twice
        self._scenes = Scenes(world, seed)
        self._record = world.folder / "points"
        self._paused: set[str] = set()  # transfers that somebody has asked to pause
        self._prepared = [self._prepare(number, target) for number, target in enumerate(targets)]

    def _prepare(self, number: int, target: Target) -> list[list[Operation | Tidying]]:
        """What is asked for, once for each try."""
        scene = scene_of(target.point)
        tries = TRIES if scene.may_be_missed else TRIES[:1]
        keys = [
            [f"point-{self._seed}-{number}-{one}-{two}" for two in range(target.occurrence)]
            for one in range(len(tries))
        ]
        if scene.kind in TIDYING:
            return [
                [TIDYING[scene.kind](self._world, self._scenes, key, target.storage) for key in its] for its in keys
            ]
        return [
            [self._scenes.make(scene.kind, key, target.storage, slower) for key in its]
            for its, slower in zip(keys, tries, strict=True)
        ]

    def execute(self, kills: int = 0, freezes: int = 0) -> Result:
        """Kill at every target, let all end, and judge."""
        every = [one for tries in self._prepared for its in tries for one in its]
        operations = [one for one in every if isinstance(one, Operation)]
        watcher = Watcher(self._world.bucket, operations)
        watcher.start()
        clients: list[Future[None]] = []
        try:
            with ThreadPoolExecutor(len(every) + 1, thread_name_prefix="client") as pool:
                try:
                    for target, tries in zip(self._targets, self._prepared, strict=True):
                        for its, slower in zip(tries, TRIES, strict=False):
                            apart = scene_of(target.point).apart
                            clients += [
                                pool.submit(self._begin, one, apart * turn, slower) for turn, one in enumerate(its)
                            ]
                            if self._kill_at(target, its, slower):
                                break
                        else:
                            self.result.missed.append(str(target))
                    self._settle([self._start_last()], [*clients, pool.submit(self._resume_all)], operations)
                finally:
                    self._over.set()
        finally:
            watcher.stop()
            self.history.close()
        found = checker.check(self._case(operations), self.history.acknowledged)
        tidied = [found for one in every if isinstance(one, Tidying) and one.begun for found in one.judge()]
        self.result.violations += [*sorted(watcher.seen), *found, *tidied]
        self.result.points = dict(counts(self._record))
        return self.result

    def _begin(self, one: Operation | Tidying, behind: float, slower: int) -> None:
        if behind:
            self._until_it_answers()
            self._over.wait(behind)
        if isinstance(one, Tidying):
            one.do(self._client, self._over)
        else:
            if one.deadline == LATER:
                one.deadline = time.time() + DEADLINE
            if one.not_before == LATER:
                self._until_it_answers()
                one.not_before = time.time() + AHEAD * slower
            self._do(one)

    def _until_it_answers(self) -> None:
        while not self._over.is_set():
            with suppress(*NOT_ANSWERED):
                self._client.ask("GET", TRANSFERS)
                return
            self._over.wait(0.05)

    # --- one kill ------------------------------------------------------------------------------------------------

    def _kill_at(self, target: Target, its: Sequence[Operation | Tidying], slower: int) -> bool:
        """Whether it came about."""
        scene = scene_of(target.point)
        if scene.after:
            self._die_at(scene.after, 1, scene_of(scene.after), its, slower)
            self._let_it_be_late(its)
        died = self._die_at(target.point, target.occurrence, scene, its, slower)
        if died and self._twice:
            self._die_at("*", random.Random(f"{self._seed} {target}").randrange(1, 25), Scene(""), ())
        return died

    def _let_it_be_late(self, its: Sequence[Operation | Tidying]) -> None:
        for one in its:
            if isinstance(one, Operation) and one.deadline:
                time.sleep(max(0.0, one.deadline + 0.2 - time.time()))

    def _die_at(
        self, point: str, occurrence: int, scene: Scene, its: Sequence[Operation | Tidying], slower: int = 1
    ) -> bool:
        """A gateway that dies at this point; whether it did."""
        plan = Both(Record(self._record), KillAt(point, occurrence))
        log = self._world.folder / "gateway.log"
        said = log.stat().st_size if log.exists() else 0
        weather = f"{scene.weather} * {slower}" if slower > 1 and scene.weather else scene.weather
        gateway = self._nursery.start(self._world.config, log, weather, plan)
        begun = time.monotonic()
        patience = min(SOON * slower, REACHED_IN) if scene.may_be_missed and not scene.slow else REACHED_IN
        done = self._happens(scene, its, gateway) if scene.when else None
        while gateway.runs() and time.monotonic() < begun + patience:
            select.select([gateway.handle], [], [], 0.2)
        died = not gateway.runs() and b"--- SIGKILL at " in _since(log, said)
        gateway.kill()
        if done:
            done.join()
        self.result.kills += died
        self.history.write("info", "killed", at=point, occurrence=occurrence, died=died,
                           after=round(time.monotonic() - begun, 2))  # fmt: skip
        return died

    def _happens(self, scene: Scene, its: Sequence[Operation | Tidying], gateway: GatewayProcess) -> threading.Thread:
        def run() -> None:
            for one, word in itertools.product(its, [scene.when, *scene.then.split()]):
                assert isinstance(one, Operation)
                if word == "term":
                    gateway.stop(0)
                elif word.isupper():
                    self._await(one, word, gateway)
                else:
                    self._wish(one, word, gateway)

        thread = threading.Thread(target=run, name="happens")
        thread.start()
        return thread

    def _await(self, one: Operation, state: str, gateway: GatewayProcess) -> None:
        """Until a file of this request is in the state, or the gateway has died."""
        while gateway.runs() and not self._over.is_set():
            if transfer := self._transfer_of(one):
                with suppress(*NOT_ANSWERED):
                    if self._client.ask("GET", f"{TRANSFERS}/{transfer}/files?state={state}&limit=1")[1].get("items"):
                        return
            time.sleep(0.02)

    def _transfer_of(self, one: Operation) -> str | None:
        return next((transfer for key, transfer in self.history.acknowledged if key == one.key), None)

    def _wish(self, one: Operation, wish: str, gateway: GatewayProcess) -> None:
        one.outcomes = one.outcomes | {"CANCELLED"} if wish == "cancel" else one.outcomes
        while gateway.runs() and not self._over.is_set():
            if transfer := self._transfer_of(one):
                self._paused |= {transfer} if wish == "pause" else set()
                with suppress(*NOT_ANSWERED):
                    if self._client.ask("POST", f"{TRANSFERS}/{transfer}/{wish}")[0] < 500:
                        return
            time.sleep(0.02)

    def _resume_all(self) -> None:
        """What was paused goes on, else it would not end; whether a later wish was stored nobody knows."""
        for transfer in self._paused:
            while not self._over.is_set():
                with suppress(*NOT_ANSWERED):
                    if self._client.ask("POST", f"{TRANSFERS}/{transfer}/resume")[0] < 500:
                        break
                time.sleep(0.1)


def _since(log: Path, begin: int) -> bytes:
    """What was written behind ``begin``: other threads may say something until the last one is dead."""
    with log.open("rb") as file:
        file.seek(begin)
        return file.read()
