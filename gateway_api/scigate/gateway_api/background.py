"""Threads that the end of the process does not wait for: who asks a storage that hangs may be busy for minutes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs functions in at most ``most`` threads at once, in order. They may be cut off anywhere when the interpreter
    ends, which would wait for those of a ``ThreadPoolExecutor``: for what only looks."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._threads = 0

    def submit(self, run: Callable[[], T]) -> Future[T]:
        """Call it soon."""
        future: Future[T] = Future()
        with self._lock:
            if self._threads < self._most:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
                self._threads += 1
            self._waiting.append((run, future))
        return future

    def close(self) -> None:
        """Begin with nothing more."""
        with self._lock:
            waiting = [future for _, future in self._waiting]
            self._waiting.clear()
        for future in waiting:
            future.cancel()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            run, future = job
            try:
                future.set_result(run())
            except Exception as error:  # noqa: BLE001 handed to whoever waits for the result
                future.set_exception(error)

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        with self._lock:
            while self._waiting:
                job = self._waiting.popleft()
                if job[1].set_running_or_notify_cancel():
                    return job
            self._threads -= 1
            return None
