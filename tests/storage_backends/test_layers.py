"""Each layer does its one thing; that they change nothing else is what the conformance suite shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from scigate.storage_backends.backend import Backend, Buffer, Extras
from scigate.storage_backends.errors import (
    InvalidName,
    NoSpace,
    NotFound,
    StorageError,
    Throttled,
    Unreachable,
    Unsupported,
)
from scigate.storage_backends.layers import Fault, Layer, Meter, compose
from scigate.storage_backends.layers.chaos import ChaosLayer
from scigate.storage_backends.layers.limit import LimitLayer
from scigate.storage_backends.layers.meter import MeterLayer
from scigate.storage_backends.layers.pace import PaceLayer
from scigate.storage_backends.layers.retry import RetryLayer
from scigate.storage_backends.layers.subtree import SubtreeLayer
from scigate.storage_backends.memory import Contents, MemoryBackend
from scigate.storage_backends.testing.case import sample

MEGABYTE = 1_000_000


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend(Contents(), 1 << 30)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def content(backend: Backend, path: str) -> bytes:
    return b"".join(map(bytes, backend.read(path)))


def failing(memory: MemoryBackend, operation: str, times: int, error: StorageError) -> tuple[Layer, list[str]]:
    """A backend whose ``operation`` fails so many times, and the calls it got."""
    calls: list[str] = []

    class Failing(Layer):
        extras = property(lambda self: self.wrapped)

        def call(self, name, path, run, size=0):
            calls.append(name)
            if name == operation and calls.count(name) <= times:
                raise error
            return run()

        def listing(self, prefix, start):
            yield from self.call("scan", prefix, start)

    return Failing(memory), calls


class TestLayer:
    def test_denies_extras_that_it_says_nothing_about(self, memory: MemoryBackend) -> None:
        assert memory.extras.copy is not None
        assert Layer(memory).extras == Extras()

    def test_wraps_all_extras_of_the_backend_inside(self, memory: MemoryBackend) -> None:
        offered = {name for name in Extras.__slots__ if getattr(memory.extras, name)}
        assert {name for name in Extras.__slots__ if getattr(Layer(memory).wrapped, name)} == offered


class TestRetry:
    def retrying(self, inner: Backend) -> RetryLayer:
        return RetryLayer(inner, (timedelta(milliseconds=5), timedelta(milliseconds=5)))

    def test_asks_three_times(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x")
        inner, calls = failing(memory, "stat", 2, Unreachable("reset"))
        assert self.retrying(inner).stat("file").size == 1
        assert calls == ["stat"] * 3

    def test_then_gives_up(self, memory: MemoryBackend) -> None:
        inner, calls = failing(memory, "stat", 3, Unreachable("reset"))
        with pytest.raises(Unreachable):
            self.retrying(inner).stat("file")
        assert calls == ["stat"] * 3

    def test_asks_once_when_it_cannot_help(self, memory: MemoryBackend) -> None:
        inner, calls = failing(memory, "stat", 1, NoSpace("full"))
        with pytest.raises(NoSpace):
            self.retrying(inner).stat("file")
        assert calls == ["stat"]

    @pytest.mark.parametrize("operation", ["put", "delete", "draft", "copy", "move"])
    def test_changes_nothing_twice(self, memory: MemoryBackend, operation: str) -> None:
        memory.put("file", b"x")
        inner, calls = failing(memory, operation, 1, Unreachable("reset"))
        backend = self.retrying(inner)
        actions = {
            "put": lambda: backend.put("file", b"y"),
            "delete": lambda: backend.delete("file"),
            "draft": lambda: backend.draft("file", 1, key="k"),
            "copy": lambda: backend.extras.copy(
                "file", "to", version=None, if_absent=False, key="k", progress=lambda _: None
            ),
            "move": lambda: backend.extras.move("file", "to", False),
        }
        with pytest.raises(Unreachable):
            actions[operation]()
        assert calls == [operation]

    def test_starts_a_scan_again(self, memory: MemoryBackend) -> None:
        for name in "abc":
            memory.put(name, b"x")
        inner, calls = failing(memory, "scan", 2, Unreachable("reset"))
        assert [entry.path for entry in self.retrying(inner).scan()] == ["a", "b", "c"]
        assert calls == ["scan"] * 3

    def test_waits_as_long_as_the_storage_wishes_if_that_is_short(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x")
        soon, later = timedelta(milliseconds=4), timedelta(seconds=30)
        assert self.retrying(failing(memory, "stat", 1, Throttled("slow down", retry_after=soon))[0]).stat("file")
        inner, calls = failing(memory, "stat", 1, Throttled("slow down", retry_after=later))
        with pytest.raises(Throttled):
            self.retrying(inner).stat("file")
        assert calls == ["stat"]


class TestLimit:
    def test_lets_no_more_in_than_it_says(self, memory: MemoryBackend) -> None:
        inside, most, lock, full = [0], [0], threading.Lock(), threading.Barrier(3)

        class Counting(Layer):
            def call(self, operation, path, run, size=0):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                full.wait(60)  # as many as it says are let in together
                with lock:
                    inside[0] -= 1
                return run()

        limited = LimitLayer(Counting(memory), 3)
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda number: limited.put(f"{number}", b"x"), range(24)))
        assert most == [3]

    def test_a_read_holds_its_slot_until_it_is_closed(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x" * 3 * MEGABYTE)
        limited = LimitLayer(memory, 1)
        buffers = limited.read("file")
        next(buffers)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(limited.stat, "file")
            time.sleep(0.05)
            assert not waiting.done()
            buffers.close()
            assert waiting.result(60).size == 3 * MEGABYTE

    def test_a_read_to_the_end_gives_its_slot_back(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x" * MEGABYTE)
        limited = LimitLayer(memory, 1)
        with ThreadPoolExecutor(4) as threads:
            sizes = list(threads.map(lambda _: len(content(limited, "file")), range(8)))
        assert sizes == [MEGABYTE] * 8

    def test_one_thread_does_not_wait_for_itself(self, memory: MemoryBackend) -> None:
        """As the engine copies inside one storage: the block that is written reads its own source."""
        memory.put("source", sample(MEGABYTE))
        limited = LimitLayer(memory, 1)
        draft = limited.draft("copy", MEGABYTE, key="k")
        receipt = draft.write(0, 0, MEGABYTE, limited.read("source"))
        draft.publish([receipt], if_absent=True, digests={})
        assert content(memory, "copy") == sample(MEGABYTE)

    def test_many_threads_that_copy_do_not_wait_for_each_other_for_ever(self, memory: MemoryBackend) -> None:
        memory.put("source", sample(MEGABYTE))
        limited = LimitLayer(memory, 2)

        def copy(number: int) -> int:
            draft = limited.draft(f"copy-{number}", MEGABYTE, key=f"k{number}")
            written = draft.write(0, 0, MEGABYTE, limited.read("source"))
            return draft.publish([written], if_absent=True, digests={}).size

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(copy, range(16), timeout=120)) == [MEGABYTE] * 16

    def test_a_slot_may_be_given_back_by_another_thread(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x" * 3 * MEGABYTE)
        limited = LimitLayer(memory, 1)
        buffers = limited.read("file")
        next(buffers)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(buffers.close).result(60)
            assert threads.submit(limited.stat, "file").result(60).size == 3 * MEGABYTE
        assert limited.stat("file").size == 3 * MEGABYTE

    def test_an_error_gives_the_slot_back(self, memory: MemoryBackend) -> None:
        limited = LimitLayer(memory, 1)
        for _ in range(3):
            with pytest.raises(NotFound):
                limited.stat("absent")
            with pytest.raises(NotFound):
                content(limited, "absent")
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(limited.put, "file", b"x").result(60).size == 1

    def test_a_scan_holds_nothing_while_its_caller_thinks(self, memory: MemoryBackend) -> None:
        for name in "abc":
            memory.put(name, b"x")
        limited = LimitLayer(memory, 1)
        entries = limited.scan()
        next(entries)
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(limited.stat, "a").result(60).size == 1
        assert len(list(entries)) == 2


class TestPace:
    def dripping(self, memory: MemoryBackend, clock: Clock, size: int, seconds: float) -> Layer:
        class Dripping(Layer):
            def reading(self, path: str, offset: int, start: object) -> Iterator[Buffer]:
                for _ in range(100):
                    clock.now += seconds
                    yield bytes(size)

        return Dripping(memory)

    def test_ends_a_read_that_drips(self, memory: MemoryBackend, clock: Clock) -> None:
        slow = PaceLayer(self.dripping(memory, clock, 10, 1.0), 1000, timedelta(seconds=5), clock)
        got = 0
        with pytest.raises(Unreachable, match="stalled: 50 bytes of 'file' in 5 seconds"):
            for buffer in slow.read("file"):
                got += len(buffer)
        assert got == 50

    def test_leaves_a_steady_read_alone(self, memory: MemoryBackend, clock: Clock) -> None:
        steady = PaceLayer(self.dripping(memory, clock, 1000, 1.0), 1000, timedelta(seconds=5), clock)
        assert len(content(steady, "file")) == 100_000

    def test_waits_for_a_tape(self, memory: MemoryBackend, clock: Clock) -> None:
        class OnTape(Layer):
            def reading(self, path: str, offset: int, start: object) -> Iterator[Buffer]:
                clock.now += 3600
                for _ in range(20):
                    clock.now += 1
                    yield bytes(1000)

        assert len(content(PaceLayer(OnTape(memory), 1000, timedelta(seconds=5), clock), "file")) == 20_000

    def test_does_not_blame_the_storage_for_a_slow_reader(self, memory: MemoryBackend, clock: Clock) -> None:
        quick = PaceLayer(self.dripping(memory, clock, 10, 0.0), 1000, timedelta(seconds=5), clock)
        for _ in quick.read("file"):
            clock.now += 60


class TestMeter:
    def test_counts_calls_bytes_seconds_and_errors(self, memory: MemoryBackend, clock: Clock) -> None:
        class Slow(Layer):
            def call(self, operation, path, run, size=0):
                clock.now += 2
                return run()

        meter = Meter()
        metered = MeterLayer(Slow(memory), meter, clock)
        metered.put("file", b"x" * 100)
        metered.put("file", b"x" * 50)
        for _ in range(2):
            with pytest.raises(NotFound):
                metered.stat("absent")
        totals = meter.totals()
        assert (totals["put"].calls, totals["put"].bytes, totals["put"].seconds) == (2, 150, 4)
        assert (totals["stat"].calls, totals["stat"].errors) == (2, {"not-found": 2})

    def test_counts_what_was_read_until_it_was_closed(self, memory: MemoryBackend, clock: Clock) -> None:
        memory.put("file", b"x" * 3 * MEGABYTE)
        meter = Meter()
        buffers = MeterLayer(memory, meter, clock).read("file")
        first = len(next(buffers))
        clock.now += 1000  # of the reader, not of the storage
        buffers.close()
        assert meter.totals()["read"].bytes == first < 3 * MEGABYTE
        assert meter.totals()["read"].seconds == 0

    def test_counts_a_read_that_failed(self, memory: MemoryBackend) -> None:
        meter = Meter()
        with pytest.raises(NotFound):
            content(MeterLayer(memory, meter), "absent")
        assert meter.totals()["read"].errors == {"not-found": 1}

    def test_counts_blocks_and_scans(self, memory: MemoryBackend) -> None:
        meter = Meter()
        metered = MeterLayer(memory, meter)
        draft = metered.draft("file", 10, key="k")
        written = draft.write(0, 0, 10, [b"0123456789"])
        draft.publish([written], if_absent=False, digests={})
        assert len(list(metered.scan())) == 1
        assert {name: total.calls for name, total in meter.totals().items()} == {
            "draft": 1,
            "write": 1,
            "publish": 1,
            "scan": 1,
        }
        assert meter.totals()["write"].bytes == 10

    def test_loses_nothing_between_threads(self, memory: MemoryBackend) -> None:
        meter = Meter()
        metered = MeterLayer(memory, meter)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: metered.put(f"{number}", b"xy"), range(400)))
        assert (meter.totals()["put"].calls, meter.totals()["put"].bytes) == (400, 800)


class TestReadOnly:
    def test_claims_nothing_that_writes(self, memory: MemoryBackend) -> None:
        backend = compose(memory, read_only=True)
        assert backend.limits.read_only
        assert {name for name in Extras.__slots__ if getattr(backend.extras, name)} == {"digest"}

    def test_writes_nothing(self, memory: MemoryBackend) -> None:
        backend = compose(memory, read_only=True)
        with pytest.raises(Unsupported, match="read-only"):
            backend.put("file", b"x")
        assert list(memory.scan()) == []


class TestSubtree:
    def test_names_paths_from_its_folder(self, memory: MemoryBackend) -> None:
        inside = SubtreeLayer(memory, "home/ada/")
        memory.put("home/ada2", b"other")
        entry = inside.put("file", b"x")
        assert entry.path == "file"
        assert memory.stat("home/ada/file").size == 1
        assert [entry.path for entry in inside.scan()] == ["file"]

    def test_names_paths_in_errors_too(self, memory: MemoryBackend) -> None:
        with pytest.raises(NotFound) as caught:
            SubtreeLayer(memory, "home/ada/").stat("absent")
        assert caught.value.path == "absent"

    @pytest.mark.parametrize("path", ["../file", "a/../../file", ".."])
    def test_has_no_way_out(self, memory: MemoryBackend, path: str) -> None:
        memory.put("home/file", b"x")
        inside = SubtreeLayer(memory, "home/ada/")
        for action in (inside.stat, inside.delete, lambda p: inside.put(p, b"y"), lambda p: content(inside, p)):
            with pytest.raises(InvalidName):
                action(path)

    def test_is_there_while_it_is_empty_and_is_not_deleted(self, memory: MemoryBackend) -> None:
        inside = SubtreeLayer(memory, "home/ada/")
        assert (inside.stat("").path, list(inside.scan())) == ("", [])
        with pytest.raises(InvalidName):
            inside.delete("")

    def test_needs_a_folder(self, memory: MemoryBackend) -> None:
        with pytest.raises(InvalidName, match="trailing '/'"):
            SubtreeLayer(memory, "home/ada")


class TestChaos:
    def test_fails_every_third_time(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x")
        chaos = ChaosLayer(memory, [Fault("stat", every=3, error=Unreachable)])
        failed = []
        for number in range(9):
            try:
                chaos.stat("file")
            except Unreachable:
                failed.append(number)
        assert failed == [2, 5, 8]

    def test_of_one_path_only(self, memory: MemoryBackend) -> None:
        chaos = ChaosLayer(memory, [Fault("put", path="bad", error=NoSpace)])
        chaos.put("good", b"x")
        with pytest.raises(NoSpace):
            chaos.put("bad", b"x")

    @pytest.mark.parametrize("offset", [0, 1500, 2_999_999])
    def test_flips_one_bit_of_what_is_read(self, memory: MemoryBackend, offset: int) -> None:
        data = sample(3 * MEGABYTE)
        memory.put("file", data)
        got = content(ChaosLayer(memory, [Fault("read", flip=offset)]), "file")
        assert [index for index in range(len(data)) if got[index] != data[index]] == [offset]
        assert got[offset] ^ data[offset] == 1

    def test_flips_the_same_byte_of_the_file_whatever_the_range(self, memory: MemoryBackend) -> None:
        memory.put("file", sample(1000))
        chaos = ChaosLayer(memory, [Fault("read", flip=500)])
        assert b"".join(map(bytes, chaos.read("file", 400, 50))) == sample(1000)[400:450]
        assert b"".join(map(bytes, chaos.read("file", 490, 20))) != sample(1000)[490:510]

    def test_cuts_a_read_short_without_a_word(self, memory: MemoryBackend) -> None:
        memory.put("file", sample(3 * MEGABYTE))
        chaos = ChaosLayer(memory, [Fault("read", cut=MEGABYTE + 7)])
        assert content(chaos, "file") == sample(3 * MEGABYTE)[: MEGABYTE + 7]

    def test_flips_what_is_written(self, memory: MemoryBackend) -> None:
        draft = ChaosLayer(memory, [Fault("write", flip=3)]).draft("file", 5, key="k")
        receipt = draft.write(0, 0, 5, [b"00000"])
        draft.publish([receipt], if_absent=False, digests={})
        assert content(memory, "file") == b"00010"

    def test_delays(self, memory: MemoryBackend) -> None:
        chaos = ChaosLayer(memory, [Fault("*", delay=timedelta(milliseconds=30))])
        began = time.monotonic()
        chaos.put("file", b"x")
        assert time.monotonic() - began >= 0.03


class TestCompose:
    def test_without_anything_it_only_retries(self, memory: MemoryBackend) -> None:
        assert isinstance(compose(memory), RetryLayer)
        assert compose(memory, retry=False) is memory

    def test_a_retried_call_is_counted_each_time(self, memory: MemoryBackend) -> None:
        memory.put("file", b"x")
        meter = Meter()
        backend = compose(memory, meter=meter, faults=[Fault("stat", every=2, error=Unreachable)], concurrency=1)
        assert [backend.stat("file").size for _ in range(3)] == [1, 1, 1]
        assert meter.totals()["stat"].calls > 3
        assert meter.totals()["stat"].errors["unreachable"] == meter.totals()["stat"].calls - 3

    def test_what_is_refused_costs_nothing(self, memory: MemoryBackend) -> None:
        meter = Meter()
        backend = compose(memory, meter=meter, read_only=True)
        with pytest.raises(Unsupported):
            backend.delete("file")
        assert meter.totals() == {}

    def test_users_see_the_names_of_their_folder(self, memory: MemoryBackend) -> None:
        backend = compose(memory, folder="home/", meter=Meter(), concurrency=2, min_rate=1)
        backend.put("file", b"x")
        assert memory.stat("home/file").size == 1
        assert backend.extras.digest is not None
        assert backend.extras.digest("file", "md5") == "9dd4e461268c8034f5c8564e155c67a6"
