"""One line per thing that a client or the nemesis did, kept when a run fails (in the manner of Jepsen)."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class History:
    """A file of JSON lines. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("a")
        self._begun = time.monotonic()
        self.acknowledged: list[tuple[str, str]] = []
        """(key, transfer) of every submit that was answered with 202."""

    def write(self, kind: str, what: str, **more: Any) -> None:
        """``kind``: invoke, ok, fail (it certainly did not happen) or info (nobody knows)."""
        line = {"t": round(time.monotonic() - self._begun, 4), "kind": kind, "what": what, **more}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            if (kind, what) == ("ok", "submit"):
                self.acknowledged.append((more["key"], more["transfer"]))

    def close(self) -> None:
        self._file.close()
