"""Where claimed files are moved: in threads of this process, or elsewhere.

An executor may lose everything at any time: the truth is in the database, and what it lost is claimed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from ..runtime import Stop
from ..tasks import Task


class Executor(Protocol):
    """Runs claimed files; every outcome is in the records before ``over`` is called."""

    def submit(self, tasks: Sequence[Task], over: Callable[[], None]) -> None:
        """Move the files of one claim, soon; then call ``over``, whatever happened."""
        ...

    def tell(self, stops: Mapping[int, Stop]) -> None:
        """Running files (by number) that shall stop at the next buffer."""
        ...

    def stop(self, patience: timedelta) -> bool:
        """Give everything back to the queue; whether all has ended in time."""
        ...
