"""A gateway as a process that can be killed at any moment and is back at once.

Run as a script it is a nursery: it imports the product once, and forks a gateway for every line that it reads
(settings, log file, mutant, plan, separated by tabs), so that a start costs no imports. The gateways themselves are
ordinary processes that run ``wiring.serve``.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
PATIENCE: Final = 240.0  # seconds for a process to end


class Nursery:
    """Starts gateways and kills them. One at a time per settings."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.crash.process"]
        self._log = (folder / "nursery.log").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd=Path(__file__).parents[2]
        )
        self._await_ready()

    def _await_ready(self) -> None:
        assert self._output.readline() == b"ready\n", "the nursery did not start; see nursery.log"

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def start(self, config: Path, log: Path, mutant: str = "", plan: object = "") -> GatewayProcess:
        """A new gateway; it may not answer yet. ``plan``: what happens at which point, see ``points``."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(f"{config}\t{log}\t{mutant}\t{plan}\n".encode())
            self._process.stdin.flush()
            try:
                return GatewayProcess(int(self._output.readline()))
            finally:  # we hold it by its handle: now it may begin, and end as soon as it likes
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()

    def close(self) -> None:
        """End the nursery, and with it every gateway that still runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._output.close()
        self._log.close()


class GatewayProcess:
    """One gateway, by its process id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self.handle)

    def kill(self) -> None:
        """kill -9, and wait until nothing is left of it."""
        self._end(signal.SIGKILL, PATIENCE)

    def stop(self, patience: float = PATIENCE) -> bool:
        """Ask it to end; whether it did."""
        return self._end(signal.SIGTERM, patience)

    def freeze(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGCONT)

    def stands_still(self) -> bool:
        """Whether it is stopped, by ``freeze`` or by its plan."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def runs(self) -> bool:
        return not self._has_ended(0)

    def _end(self, number: int, patience: float) -> bool:
        try:
            signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            return True
        return self._has_ended(patience)

    def _has_ended(self, patience: float) -> bool:
        return bool(select.select([self.handle], [], [], patience)[0])


def _nurse() -> None:
    import psycopg  # noqa: F401 else each gateway would import it, and what is below
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
    from scigate.gateway_api import wiring
    from scigate.gateway_api.settings import Settings
    from scigate.storage_backends.registry import BackendRegistry

    registry = BackendRegistry()
    registry.load_all()
    _hurry()
    gc.freeze()  # what is there is not looked at again, and so not copied, by each gateway
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        config, log, mutant, plan = line.rstrip("\n").split("\t")
        gate, latch = os.pipe()
        pid = os.fork()
        if pid == 0:
            _become_gateway(log)
            os.close(latch)
            os.read(gate, 1)
            _mutate(mutant)
            _arm(plan)
            wiring.serve(Settings.load(Path(config), registry=registry), registry=registry)
            sys.exit(0)
        os.close(gate)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdin.readline()  # whoever asked for it has its handle; one that has ended is nowhere any more
        os.close(latch)


def _hurry() -> None:
    """Retries and rests as ever, only sooner."""
    from scigate.gateway_api.transfers import engine, machine, scheduler

    for module, name, value in (
        (machine, "FIRST_DELAY", 0.25), (machine, "LONGEST_DELAY", 2.0), (scheduler, "FIRST_REST", 0.5),
        (scheduler, "LONGEST_REST", 2.0), (engine, "TICK", 0.2),
    ):  # fmt: skip
        setattr(module, name, value)


def _become_gateway(log: str) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.stderr.write(f"--- a gateway starts, pid {os.getpid()}, {time.time():.3f}\n")


def _mutate(name: str) -> None:
    from .weather import OTHERS, WEATHER, arise

    name, _, slower = name.partition(" * ")
    if name in WEATHER or name in OTHERS:
        arise(name, int(slower or 1))
    elif name:
        from .mutants import MUTANTS

        MUTANTS[name]()


def _arm(plan: str) -> None:
    if plan:
        from scigate.storage_backends import crash_points

        from .points import plan_of

        crash_points.arm(plan_of(plan))


if __name__ == "__main__":
    _nurse()
