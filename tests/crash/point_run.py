"""A run in which each gateway dies at a named point, one after the other in one world, and the judgement at the end."""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
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

REACHED_IN: Final = 60.0  # seconds from the start of a gateway until its point is reached
SLOWLY: Final = 90.0  # the same of what waits for something to expire
DEADLINE: Final = 4.0  # seconds that a request has that shall be too late


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
        self._asked: dict[str, str] = {}  # key → the last wish
        self._tidyings: list[Tidying] = []
        self._prepared = [self._prepare(number, target) for number, target in enumerate(targets)]

    def _prepare(self, number: int, target: Target) -> list[Operation | Tidying]:
        scene = scene_of(target.point)
        count = 1 if scene.after else target.occurrence
        keys = [f"point-{self._seed}-{number}-{one}" for one in range(count)]
        if scene.kind in TIDYING:
            made = [TIDYING[scene.kind](self._world, self._scenes, key, target.storage) for key in keys]
            self._tidyings += made
            return list(made)
        return [self._scenes.make(scene.kind, key, target.storage) for key in keys]

    def execute(self, kills: int = 0, freezes: int = 0) -> Result:
        """Kill at every target, let all end, and judge."""
        operations = [one for its in self._prepared for one in its if isinstance(one, Operation)]
        watcher = Watcher(self._world.bucket, operations)
        watcher.start()
        clients: list[Future[None]] = []
        try:
            with ThreadPoolExecutor(sum(map(len, self._prepared)), thread_name_prefix="client") as pool:
                try:
                    for target, its in zip(self._targets, self._prepared, strict=True):
                        clients += [pool.submit(self._begin, one) for one in its]
                        self._kill_at(target, its)
                    self._settle([self._start()], [*clients, pool.submit(self._resume_all)], operations)
                finally:
                    self._over.set()
        finally:
            watcher.stop()
            self.history.close()
        found = checker.check(self._case(operations), self.history.acknowledged)
        self.result.violations += [*sorted(watcher.seen), *found, *(x for its in self._tidyings for x in its.judge())]
        self.result.points = dict(counts(self._record))
        return self.result

    def _begin(self, one: Operation | Tidying) -> None:
        if isinstance(one, Tidying):
            one.do(self._client, self._over)
        else:
            if one.deadline == LATER:
                one.deadline = time.time() + DEADLINE
            self._do(one)

    # --- one kill ------------------------------------------------------------------------------------------------

    def _kill_at(self, target: Target, its: Sequence[Operation | Tidying]) -> None:
        scene = scene_of(target.point)
        if scene.after:
            self._die_at(scene.after, 1, scene_of(scene.after), its)
            self._let_it_be_late(its)
        if not self._die_at(target.point, target.occurrence, scene, its):
            self.result.missed.append(str(target))
        if self._twice:
            self._die_at("*", random.Random(f"{self._seed} {target}").randrange(1, 25), Scene(""), ())

    def _let_it_be_late(self, its: Sequence[Operation | Tidying]) -> None:
        for one in its:
            if isinstance(one, Operation) and one.deadline:
                time.sleep(max(0.0, one.deadline + 0.2 - time.time()))

    def _die_at(self, point: str, occurrence: int, scene: Scene, its: Sequence[Operation | Tidying]) -> bool:
        """A gateway that dies at this point; whether it did."""
        before = counts(self._record)
        plan = Both(Record(self._record), KillAt(point, occurrence))
        log = self._world.folder / "gateway.log"
        gateway = self._nursery.start(self._world.config, log, scene.weather, plan)
        begun = time.monotonic()
        patience = SLOWLY if scene.slow else REACHED_IN
        done = self._happens(scene, its, gateway, before) if scene.when else None
        while gateway.runs() and time.monotonic() < begun + patience:
            select.select([gateway.handle], [], [], 0.2)
        if done:
            done.join()
        died = not gateway.runs() and _last_words(log).startswith("--- SIGKILL at ")
        gateway.kill()
        self.result.kills += died
        self.history.write("info", "killed", at=point, occurrence=occurrence, died=died,
                           after=round(time.monotonic() - begun, 2))  # fmt: skip
        return died

    def _happens(
        self, scene: Scene, its: Sequence[Operation | Tidying], gateway: GatewayProcess, before: dict[str, int]
    ) -> threading.Thread:
        def run() -> None:
            if not self._await(scene.when, gateway, before):
                return
            for word in scene.then.split():
                if word == "term":
                    gateway.stop(0)
                elif ":" in word:
                    self._await(word, gateway, before)
                else:
                    for one in its:
                        self._wish(one, word, gateway)

        thread = threading.Thread(target=run, name="happens")
        thread.start()
        return thread

    def _await(self, point: str, gateway: GatewayProcess, before: dict[str, int]) -> bool:
        """Whether the point was reached since then, and the gateway lives."""
        end = time.monotonic() + REACHED_IN
        while gateway.runs() and time.monotonic() < end:
            now = counts(self._record)
            if any(now[name] > before.get(name, 0) for name in now if fnmatchcase(name, point)):
                return True
            time.sleep(0.02)
        return False

    def _wish(self, one: Operation | Tidying, wish: str, gateway: GatewayProcess) -> None:
        assert isinstance(one, Operation)
        one.outcomes = one.outcomes | {"CANCELLED"} if wish == "cancel" else one.outcomes
        while gateway.runs() and not self._over.is_set():
            found = [transfer for key, transfer in self.history.acknowledged if key == one.key]
            if found:
                self._asked[found[-1]] = wish
                with suppress(*NOT_ANSWERED):
                    if self._client.ask("POST", f"{TRANSFERS}/{found[-1]}/{wish}")[0] < 500:
                        return
            time.sleep(0.02)

    def _resume_all(self) -> None:
        """What was paused goes on, else it would not end."""
        for transfer in [transfer for transfer, wish in self._asked.items() if wish == "pause"]:
            while not self._over.is_set():
                with suppress(*NOT_ANSWERED):
                    if self._client.ask("POST", f"{TRANSFERS}/{transfer}/resume")[0] < 500:
                        break
                time.sleep(0.1)


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 300))
        return file.read().decode(errors="replace").rstrip().rpartition("\n")[2]
