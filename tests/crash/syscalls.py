"""Kills and errors at the n-th system call of a running gateway, by strace(1): exact, and without touching the code."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .ground import World
from .process import PATIENCE, GatewayProcess, Nursery
from .run import Run

LIVES: Final = 4.0  # seconds at most, for a kill that never comes and for errors
COMES_IN: Final = 120.0  # the same as long as no kill, or no error, has come at all
USUALLY: Final = 1.5  # seconds that one lives
ENOUGH: Final = 6  # errors that one gateway has to live with


@dataclass(frozen=True)
class Injection:
    """``when``: at which call of one thread, in strace's words: ``3``, or ``3+5`` for every fifth from there on."""

    call: str
    fault: str
    when: str

    def __str__(self) -> str:
        return f"{self.call}:{self.fault}:when={self.when}"

    @property
    def kind(self) -> str:
        """``signal`` or ``error``."""
        return self.fault.partition("=")[0]


KILLS: Final = [
    Injection("fdatasync", "signal=KILL", "3"),
    Injection("fsync", "signal=KILL", "1"),
    Injection("rename", "signal=KILL", "1"),
    Injection("renameat2", "signal=KILL", "1"),
    Injection("pwrite64", "signal=KILL", "40"),
    Injection("syncfs", "signal=KILL", "1"),
]
ERRORS: Final = [
    Injection("fdatasync", "error=EIO", "3+7"),
    Injection("pwrite64", "error=ENOSPC", "30+50"),
    Injection("syncfs", "error=EIO", "1+2"),
    Injection("fsync", "error=EIO", "1+3"),
    Injection("renameat2", "error=EIO", "1+2"),
    Injection("fdatasync", "error=ENOSPC", "5+9"),
    Injection("rename", "error=ENOSPC", "1+2"),
    Injection("pwrite64", "error=EIO", "25+60"),
]


class SyscallRun(Run):
    """A run in which each gateway has an injection of its own."""

    def __init__(
        self, world: World, nursery: Nursery, seed: int, strace: Path, injections: Sequence[Injection], **options: Any
    ) -> None:
        super().__init__(world, nursery, seed, **options)
        self._strace, self._injections = strace, injections
        self._kinds: set[str] = set()
        """Of faults that have come."""

    def _delays(self, kills: int) -> list[float]:
        return [LIVES] * kills

    def _span(self, delays: Sequence[float]) -> float:
        return USUALLY * len(delays)

    def _kill_again_and_again(self, delays: Sequence[float]) -> None:
        for number, (injection, delay) in enumerate(zip(self._injections, delays, strict=False)):
            log = self._world.folder / f"strace-{number}.log"
            listened = self._listened()
            gateway = self._start()
            tracer = self._trace(gateway, injection, log)
            self._await(gateway, injection, log, delay)
            died = not gateway.runs()
            if injection.fault != "signal=KILL" and died and self._listened() > listened:
                self.result.violations.append(f"I0 the gateway ended by itself: {injection}")
            gateway.kill()
            tracer.wait(PATIENCE)
            self.result.kills += 1
            came = _came(log)
            if came or died:
                self._kinds.add(injection.kind)
            else:
                self.result.missed.append(str(injection))
            self.history.write("info", "syscall", injection=str(injection), came=came)

    def _await(self, gateway: GatewayProcess, injection: Injection, log: Path, delay: float) -> None:
        """Until it has died, or lived long enough with what was injected."""
        begun = time.monotonic()
        while gateway.runs() and (came := _came(log)) < ENOUGH:
            if time.monotonic() > begun + (delay if came or injection.kind in self._kinds else COMES_IN):
                return
            time.sleep(0.05)

    def _listened(self) -> int:
        """How many gateways have come so far as to listen: an error before that may end one, whoever runs it begins
        anew."""
        log = self._world.folder / "gateway.log"
        return log.read_text().count("the gateway listens on") if log.exists() else 0

    def _trace(self, gateway: GatewayProcess, injection: Injection, log: Path) -> subprocess.Popen[bytes]:
        """Attached to all threads when this returns."""
        command = [
            self._strace, "-f", "-p", str(gateway.pid), "-e", f"trace={injection.call}", "-e", f"inject={injection}",
            "-o", log,
        ]  # fmt: skip
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if b"attached" not in said:
            self.result.violations.append(f"strace did not attach: {said.decode().strip()}")
        return tracer


def _came(log: Path) -> int:
    """How often the injection came so far."""
    return log.read_text().count("(INJECTED)") if log.exists() else 0
