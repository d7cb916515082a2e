"""The process that serves keeps few heaps."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAPS = """
import ctypes, threading
from scigate.gateway_api.memory import share_heaps
{call}
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
all_have, heaps = threading.Barrier(12), set()
def take():
    found = libc.malloc(1000)  # a thread's heap begins at a multiple of 64 MiB, the first one of a process anywhere
    heaps.add(found >> 26 if ctypes.c_size_t.from_address(found - 8).value & 4 else "first")
    all_have.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(heaps))
"""


@pytest.mark.parametrize(("call", "few"), [("share_heaps()", True), ("", False)])
def test_threads_share_two_heaps(call: str, few: bool) -> None:
    """And without it they do not: so this test sees what it is about."""
    run = [sys.executable, "-c", HEAPS.format(call=call)]
    seen = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert (seen <= 2) == few, seen
