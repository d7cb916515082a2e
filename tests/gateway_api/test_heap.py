"""What is not used any more does not stay with the process."""

from __future__ import annotations

import subprocess
import sys

MUCH = """
from pathlib import Path
from scigate.gateway_api.heap import give_back

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

blocks = [bytes([number % 255 + 1]) * 100_000 for number in range(1_000)]
left = blocks[::50]  # between them is room, and the last one holds the end of the heap
left.append(blocks[-1])
del blocks
before = resident()
give_back()
print(before - resident(), all(len(set(block)) == 1 for block in left))
"""


def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", MUCH], capture_output=True, text=True, check=True)
    given, kept = done.stdout.split()
    assert int(given) >= 60, "MiB of 95 that were free"
    assert kept == "True"
