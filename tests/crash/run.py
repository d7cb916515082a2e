"""A run: a workload, a gateway that is killed again and again, and the judgement of what is left."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scigate.gateway_api.transfers.awaiting import SILENCE

from . import checker
from .case import Case, Operation
from .client import NOT_ANSWERED, Client, GaveUp
from .ground import LEASE, LONG_LEASE, World
from .history import History
from .plan import USUAL, Planner
from .process import PATIENCE, GatewayProcess, Nursery
from .sender import Sender
from .watcher import Watcher
from .weather import IMPATIENT

SETTLES_IN: Final = 480.0  # seconds after the last kill until everything has ended
MUTANT_SETTLES_IN: Final = 18.0  # a mistake may well be that it never ends
CLEAN_IN: Final = 240.0  # seconds after that until nothing is left behind
RECOVERED: Final = 0.6  # seconds: a gateway of a burst that shall live longer is waited for until it answers
FROZEN: Final = LEASE + 2.5  # seconds: longer than the lease, and time enough to take over


@dataclass
class Result:
    """What came of a run."""

    seed: int
    kills: int = 0
    freezes: int = 0
    violations: list[str] = field(default_factory=list)
    settled: float = 0.0
    looks: int = 0
    interrupted: int = 0
    kept: Path | None = None
    points: dict[str, int] = field(default_factory=dict)
    """How often each crash point was reached."""
    missed: list[str] = field(default_factory=list)
    """Kills that were meant and did not come about."""
    seconds: float = 0.0


class Run:
    """One run in a world of its own."""

    def __init__(
        self, world: World, nursery: Nursery, seed: int, *, mutant: str = "", kinds: Sequence[str] = (),
        bursts: bool = False, weather: str = "",
    ) -> None:  # fmt: skip
        self._patience = MUTANT_SETTLES_IN if mutant else SETTLES_IN
        self._world, self._nursery, self._mutant, self._weather = world, nursery, mutant, weather
        self._seed = seed
        self._rng = random.Random(f"nemesis {seed}")
        self._kinds, self._bursts = list(kinds), bursts
        self._over = threading.Event()
        self.history = History(world.folder / "history.jsonl")
        self._client = Client(world.port, self.history, self._over)
        self._sender = Sender(world.port, self.history, self._over, IMPATIENT if weather == "impatience" else SILENCE)
        self.result = Result(seed)

    def execute(self, kills: int, freezes: int = 0) -> Result:
        """Kill the gateway ``kills`` times while it works, let it finish, and judge.

        With ``freezes`` a second gateway on the same database works beside it, and the first one, which alone has
        the mutant, is stopped so often for longer than its lease, and wakes up again.
        """
        delays = self._delays(kills)
        kinds = self._kinds or USUAL * max(1, kills // 16)
        operations = Planner(self._world, self._seed).plan(kinds, self._span(delays) + freezes * FROZEN)
        watcher = self._watcher = Watcher(self._world.bucket, operations)
        watcher.start()
        try:
            with ThreadPoolExecutor(len(operations), thread_name_prefix="client") as pool:
                try:
                    clients = [pool.submit(self._do, one) for one in operations]
                    self._kill_again_and_again(delays)
                    gateways = [self._start(), self._start_other()] if freezes else [self._start_last()]
                    for _ in range(freezes):
                        self._freeze(gateways[0])
                    self._settle(gateways, clients, operations)
                finally:
                    self._over.set()  # else a run that broke off would wait for its clients
        finally:
            watcher.stop()
            self.history.close()
        self.result.violations += sorted(watcher.seen)
        self.result.looks = watcher.looks
        self.result.violations += checker.check(self._case(operations), self.history.acknowledged)
        self.result.interrupted = checker.interrupted(self._world.database)
        return self.result

    def _do(self, operation: Operation) -> None:
        who = self._sender if operation.sendings else self._client
        who.do(operation, random.Random(operation.key))

    def _delays(self, kills: int) -> list[float]:
        """How long each gateway lives. In bursts: a while, and then up to five die one after the other while they are
        still setting things right."""
        if not self._bursts:
            return [self._delay() for _ in range(kills)]
        delays: list[float] = []
        while len(delays) < kills:
            delays.append(self._rng.uniform(RECOVERED, 2.0))
            delays += [self._rng.uniform(0.02, RECOVERED) for _ in range(self._rng.randrange(6))]
        return delays[:kills]

    def _span(self, delays: Sequence[float]) -> float:
        """Seconds over which the requests are spread: as long as gateways die."""
        return sum(delays)

    def _delay(self) -> float:
        """How long a gateway lives: often it dies while it is still setting things right."""
        kind = self._rng.random()
        if kind < 0.35:
            return self._rng.uniform(0.05, 0.4)
        return self._rng.uniform(0.4, 1.0) if kind < 0.85 else self._rng.uniform(1.0, 2.5)

    def _kill_again_and_again(self, delays: Sequence[float]) -> None:
        for delay in delays:
            gateway = self._start()
            if not gateway.runs():
                self.result.violations.append("I0 the gateway ended by itself")
            if self._bursts and delay > RECOVERED:
                self._await_answer()
            time.sleep(delay)
            if self._bursts and self._rng.random() < 0.2:
                self._nap(gateway)
            if self._rng.random() < 0.15:  # it dies while it tries to end in good order
                gateway.stop(self._rng.uniform(0, 0.5))
            gateway.kill()
            self.result.kills += 1
            self.history.write("info", "kill", after=round(delay, 3))

    def _freeze(self, gateway: GatewayProcess) -> None:
        time.sleep(self._rng.uniform(0.3, 1.5))
        gateway.freeze()
        self.history.write("info", "freeze")
        time.sleep(FROZEN)
        gateway.thaw()
        self.result.freezes += 1

    def _await_answer(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(*NOT_ANSWERED):
                self._client.ask("GET", "/api/v1/transfers?limit=1")
                return
            time.sleep(0.05)

    def _nap(self, gateway: GatewayProcess) -> None:
        """It is frozen for a moment, sometimes for longer than its lease; perhaps it does not wake up again."""
        gateway.freeze()
        time.sleep(self._rng.choice([0.2, 0.5, 1.0, LEASE + 0.5]))
        if self._rng.random() < 0.7:
            gateway.thaw()
            time.sleep(self._rng.uniform(0, 0.5))
        self.history.write("info", "nap")

    def _start(self) -> GatewayProcess:
        return self._nursery.start(
            self._world.config, self._world.folder / "gateway.log", self._mutant or self._weather
        )

    def _start_last(self) -> GatewayProcess:
        """One that is to finish all, and that nobody takes for dead: it may be as slow as the machine is."""
        self._world.lease(LONG_LEASE)
        return self._start()

    def _start_other(self) -> GatewayProcess:
        return self._nursery.start(self._world.other_config, self._world.folder / "gateway.log")

    def _settle(self, gateways: list[GatewayProcess], clients: list[Future[None]], operations: list[Operation]) -> None:
        begun = time.monotonic()
        try:
            while time.monotonic() < begun + self._patience and not (_all_done(clients) and self._all_finished()):
                if not all(gateway.runs() for gateway in gateways):
                    self.result.violations.append("I0 the gateway ended by itself; see gateway.log")
                    break
                time.sleep(0.1)
            if waiting := sum(not client.done() for client in clients):
                self.result.violations.append(f"I0 {waiting} clients were never answered as they should be")
            self._over.set()
            self.result.settled = round(time.monotonic() - begun, 1)
            end = time.monotonic() + (MUTANT_SETTLES_IN if self._mutant else CLEAN_IN)
            while checker.leftovers(self._case(operations)) and time.monotonic() < end:
                time.sleep(0.3)
        finally:
            self._over.set()
            for gateway in gateways:
                if not gateway.stop():
                    self.result.violations.append("I0 the gateway did not stop when asked to")
                    gateway.kill()
        self.result.violations += [f"I0 a client failed: {error!r}" for error in _errors(clients)]

    def _all_finished(self) -> bool:
        try:
            status, page = self._client.ask("GET", "/api/v1/transfers?limit=1000")
        except NOT_ANSWERED:
            return False
        return status == 200 and all(transfer["finished"] for transfer in page["items"])

    def _case(self, operations: list[Operation]) -> Case:
        world = self._world
        folders = (str(world.state / "staging"), str(world.state / "workers"))
        return Case(world.database, world.bucket, (str(world.desk), str(world.ground.lab)), *folders, operations)


def _all_done(clients: list[Future[None]]) -> bool:
    return all(client.done() for client in clients)


def _errors(clients: list[Future[None]]) -> list[BaseException]:
    found = [client.exception(PATIENCE) for client in clients]
    return [error for error in found if error is not None and not isinstance(error, GaveUp)]
