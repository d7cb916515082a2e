"""A gateway that gets no more memory while it moves large files: it goes on, slower or later, and fails nothing."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from .stand import Program, problem, until

MiB = 1 << 20
LARGE, FILES = 20 * MiB, 4


def limit(pid: int, size: int) -> None:
    """Bytes of address space; what the process has already stays."""
    resource.prlimit(pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def answers(made: Program, path: str) -> bool:
    try:
        return made.client().get(path).status_code == 200
    except httpx.TransportError:
        made._hang_up()
        return False


def submitted(made: Program, pairs: list[tuple[str, str]]) -> str:
    """The path of a transfer, once there is a thread that stores it; until then it is refused, and asked for again."""
    taken: list[str] = []

    def is_taken() -> bool:
        try:
            answer = made.post(*pairs, key="the same")
        except httpx.TransportError:
            made._hang_up()
            return False
        if answer.status_code != 202:
            problem(answer, 503, answer.json()["code"])
            return False
        taken.append(str(answer.headers["Location"]))
        return True

    until(is_taken, tell=made.log)
    return taken[0]


def lacked(made: Program) -> bool:
    """Whether it has wanted memory that it did not get, or threads."""
    log = made.log_file.read_text(errors="replace")
    return any(word in log for word in ("MemoryError", "can't start new thread", "no memory"))


@pytest.mark.parametrize(
    "spare", [1 * MiB, pytest.param(24 * MiB, marks=pytest.mark.long)], ids=["nothing", "a-little"]
)
def test_memory_that_is_not_to_be_had_delays_and_fails_nothing(program: Callable[..., Program], spare: int) -> None:
    """A thread's stack takes 8 MiB of addresses: with nothing to spare not one more can be started."""
    began = time.monotonic()
    made = program(storages={"lab": None, "out": None})
    for number in range(FILES):
        (made.root("lab") / f"f{number}").write_bytes(os.urandom(LARGE))
    (made.root("lab") / "first").write_bytes(b"data")
    made.start()
    assert made.wait(made.submit(("lab:/first", "out:/first")))["state"] == "DONE"
    limit(made.pid, address_space(made.pid) + spare)
    pairs = [(f"lab:/f{number}", f"out:/f{number}") for number in range(FILES)]
    transfer = submitted(made, pairs)
    time.sleep(3.0)
    if spare == MiB:
        until(lambda: lacked(made), tell=made.log)
    assert made.process.poll() is None, made.log()
    limit(made.pid, resource.RLIM_INFINITY)
    until(lambda: answers(made, "/readyz"), tell=made.log)
    assert made.wait(transfer)["state"] == "DONE"
    causes = {file["cause"]["code"] for file in made.files(transfer) if file["cause"]}
    assert causes == set()
    made.settle("faults.process", began, runs=FILES, fault=f"{spare // MiB} MiB to spare")
