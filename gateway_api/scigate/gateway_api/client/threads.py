"""Doing the same to many things, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

AT_ONCE: Final = 4  # files of a folder that are sent or fetched at the same time
T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results as they come; memory is bounded by what is under way. An interrupt is not held up."""
    pool = ThreadPoolExecutor(AT_ONCE, "scigate-client")
    under_way: set[Future[R]] = set()
    try:
        for item in items:
            under_way.add(pool.submit(work, item))
            if len(under_way) > AT_ONCE:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        while under_way:
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
