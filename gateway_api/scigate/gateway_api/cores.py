"""No copy of this process's memory, which holds secrets, is left behind when it dies."""

from __future__ import annotations

import ctypes
import resource
from typing import Final

PR_SET_DUMPABLE: Final = 4


def forbid_cores() -> None:
    """Leave no core, whoever collects them, and let nobody but root attach to this process or read its environment.

    The limit alone is not enough: a program that takes cores from the kernel gets them whatever it says (core(5)).
    Not dumpable is a property of the memory, so it is to be called in the process that keeps the secrets, before it
    reads them (prctl(2), PR_SET_DUMPABLE).
    """
    _, highest = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, highest))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
