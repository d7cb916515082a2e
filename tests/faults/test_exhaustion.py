"""A gateway that may open few files and is asked by many: it sheds load, says why, and recovers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx

from .stand import Program, until

FILES = 200
SHED = "no more than 90 may be open (limits.connections, RLIMIT_NOFILE)"


def test_descriptors_that_run_out_delay_and_fail_nothing(
    program: Callable[..., Program], require: Callable[[str], Path]
) -> None:
    began = time.monotonic()

    made = program(wrapped=("prlimit", "--nofile=120:120"))
    for number in range(FILES):
        (made.root("lab") / f"f{number}").write_bytes(os.urandom(1000))
    made.start()
    transfer = made.submit(*[(f"lab:/f{number}", f"out:/f{number}") for number in range(FILES)])
    with ExitStack() as strangers:
        for _ in range(200):
            strangers.enter_context(socket.create_connection(("127.0.0.1", made.port), timeout=60))
        time.sleep(1.0)
        until(lambda: SHED in made.log_file.read_text(errors="replace"), tell=made.log)  # who runs it can find out why
        assert made.process.poll() is None
    made._hang_up()  # those of ours may be among the connections that were shed

    def answers() -> bool:
        try:
            return made.client().get("/api/v1/status").status_code == 200
        except httpx.TransportError:
            made._hang_up()
            return False

    until(answers, 120, made.log)
    assert made.wait(transfer)["state"] == "DONE"
    made.settle("faults.disk", began, fault="descriptors exhausted")
