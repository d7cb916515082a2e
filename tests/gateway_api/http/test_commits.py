"""What another thread ends is waited for without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from concurrent.futures import Future

import pytest
from scigate.gateway_api.http.commits import Commits

from tests.letting_go import Held, without_collector


def ended_by_another(futures: list[Future[int]]) -> None:
    for number, future in enumerate(futures):
        if number % 10 == 7:
            future.set_exception(ValueError(str(number)))
        else:
            future.set_result(number)


async def told(commits: Commits, future: Future[int]) -> int | str:
    try:
        return await commits.result(future)
    except ValueError as error:
        return f"refused {error}"


def test_each_gets_what_is_its_own() -> None:
    async def run() -> list[int | str]:
        commits, futures = Commits(), [Future[int]() for _ in range(500)]
        thread = threading.Thread(target=ended_by_another, args=[futures])
        waiting = [asyncio.ensure_future(told(commits, future)) for future in futures]
        await asyncio.sleep(0)
        thread.start()
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        thread.join()
        return answers

    assert asyncio.run(run()) == [f"refused {n}" if n % 10 == 7 else n for n in range(500)]


def test_what_has_ended_before_is_told_too() -> None:
    async def run() -> int:
        done = Future[int]()
        done.set_result(3)
        return await asyncio.wait_for(Commits().result(done), 60)

    assert asyncio.run(run()) == 3


def test_who_is_cancelled_meanwhile_disturbs_nobody() -> None:
    async def run() -> int:
        commits, given_up, wanted = Commits(), Future[int](), Future[int]()
        waiting = [asyncio.ensure_future(commits.result(future)) for future in (given_up, wanted)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        given_up.set_result(1)
        wanted.set_result(2)
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        return await asyncio.wait_for(waiting[1], 60)

    assert asyncio.run(run()) == 2


def test_what_ends_after_the_loop_harms_nobody() -> None:
    late = Future[int]()

    async def run() -> None:
        waiting = asyncio.ensure_future(Commits().result(late))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(run())
    late.set_result(1)
    assert late.result() == 1


def test_whoever_is_refused_is_let_go() -> None:
    def refused() -> Future[int]:
        future = Future[int]()
        future.set_exception(ValueError("no"))
        return future

    async def meet() -> weakref.ref[Held]:
        held = Held()
        with contextlib.suppress(ValueError):
            await Commits().result(refused())
        return weakref.ref(held)

    with without_collector():
        assert asyncio.run(meet())() is None
