"""Threads that the end of the process does not wait for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from functools import partial

import pytest
from scigate.gateway_api.background import Background

HANGS = """
import threading
from scigate.gateway_api.background import Background
background = Background(2, "look")
background.submit(lambda: threading.Event().wait(300))
print(background.submit(lambda: 7).result(60))
"""


def test_a_process_ends_while_a_look_hangs() -> None:
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=200, check=True)
    assert (ran.stdout, ran.stderr) == ("7\n", "")
    assert time.monotonic() - began < 100


def test_no_more_run_at_once_than_there_may_and_none_when_it_is_closed() -> None:
    background, release, begun = Background(2, "look"), threading.Event(), list[int]()

    def look(number: int) -> int:
        begun.append(number)
        release.wait(30)
        return number

    looks = [background.submit(partial(look, number)) for number in range(5)]
    while len(begun) < 2:
        time.sleep(0.01)
    assert not looks[2].running()
    background.close()
    release.set()
    assert [look.result(30) for look in looks[:2]] == [0, 1]
    with pytest.raises(CancelledError):
        looks[4].result(30)
    assert sorted(begun) == [0, 1]


def test_what_goes_wrong_is_told_to_who_waits_and_to_nobody_else() -> None:
    background = Background(1, "look")

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        background.submit(fail).result(30)
    assert background.submit(lambda: 1).result(30) == 1
