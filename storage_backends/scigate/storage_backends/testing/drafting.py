"""Cases about writing a draft and publishing it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..backend import Backend, Buffer, KiB, Kind
from ..errors import AlreadyExists, DigestMismatch, NotFound, StorageError, Truncated, Unreachable, Unsupported
from .case import Bench, Cases, atomic, new_key, pieces, require, sample, writable
from .reading import computed

CASES = Cases("draft", writable)
case = CASES.case


def any_order(backend: Backend) -> bool:
    """limits.sequential is not set"""
    return writable(backend) and not backend.limits.sequential


def sequential(backend: Backend) -> bool:
    """limits.sequential"""
    return writable(backend) and backend.limits.sequential


def three_blocks(bench: Bench, seed: int = 0) -> bytes:
    """Two whole blocks and a short one."""
    return sample(2 * bench.unit + 1000, seed)


@case()
def published(bench: Bench) -> None:
    """A draft becomes a file of its size, with what was written, and publish says what is there now."""
    path, data = bench.path("new/folder/file"), three_blocks(bench)
    entry = bench.publish(bench.draft(path, len(data)), data)
    require((entry.path, entry.kind, entry.size) == (path, Kind.FILE, len(data)), f"publish says {entry}")
    require(entry.version in (None, bench.backend.stat(path).version), "publish and stat say different versions")
    bench.holds(path, data)
    bench.holds(path, data, bench.open_backend())


@case()
def receipts(bench: Bench) -> None:
    """The receipt of a block says which block it is."""
    data = three_blocks(bench)
    draft = bench.draft(bench.path("file"), len(data))
    seen = [(receipt.number, receipt.offset, receipt.length) for receipt in bench.write(draft, data)]
    require(seen == [(0, 0, bench.unit), (1, bench.unit, bench.unit), (2, 2 * bench.unit, 1000)], f"they say {seen}")


@case(any_order)
def blocks_in_any_order(bench: Bench) -> None:
    """Blocks may be written in any order."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    written = bench.write(draft, data, (2, 0, 1))
    draft.seal()
    draft.publish(sorted(written, key=lambda receipt: receipt.number), if_absent=False, digests={})
    bench.holds(path, data)


@case(any_order)
def receipts_in_any_order(bench: Bench) -> None:
    """publish takes all receipts, in whatever order."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    written = bench.write(draft, data, (1, 2, 0))
    draft.seal()
    draft.publish(iter(written), if_absent=False, digests={})
    bench.holds(path, data)


@case(any_order)
def blocks_at_once(bench: Bench) -> None:
    """A draft may be written by several threads at once."""
    path, data = bench.path("file"), sample(3 * bench.unit + 5)
    draft = bench.draft(path, len(data))
    with ThreadPoolExecutor(4) as threads:
        written = list(threads.map(lambda number: bench.write(draft, data, (number,))[0], range(4)))
    draft.seal()
    draft.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case(sequential)
def order_kept(bench: Bench) -> None:
    """Where blocks must come in order, another order is refused."""
    data = three_blocks(bench)
    draft = bench.draft(bench.path("file"), len(data))
    with bench.fails(StorageError):
        bench.write(draft, data, (1,))


@case(any_order)
def block_again(bench: Bench) -> None:
    """A block that is written again replaces the first one."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    bench.write(draft, three_blocks(bench, 1), (0, 1))
    bench.publish(draft, data)
    bench.holds(path, data)


@case()
def short_input(bench: Bench) -> None:
    """Fewer bytes than promised is Truncated, never a short block."""
    refuse_input(bench, lambda data: data[:-1])
    refuse_input(bench, lambda data: b"")


@case()
def long_input(bench: Bench) -> None:
    """More bytes than promised is Truncated."""
    refuse_input(bench, lambda data: data + b"x")
    refuse_input(bench, lambda data: data + data)


def refuse_input(bench: Bench, spoil: Callable[[bytes], bytes]) -> None:
    """Offer spoilt data for one block; it is refused, is not part of the object, and can be written again."""
    path, data, unit = bench.path("file"), sample(bench.unit + 300), bench.unit
    for number, length in ((0, unit), (1, 300)):
        draft = bench.draft(path, len(data))
        written = bench.write(draft, data, range(number))
        block = data[number * unit :][:length]
        with bench.fails(Truncated):
            draft.write(number, number * unit, length, pieces(spoil(block)))
        with bench.fails(StorageError):
            draft.publish(written, if_absent=True, digests={})
        draft.discard()
        bench.absent(path)


@case(any_order)
def refused_block_written_again(bench: Bench) -> None:
    """After refused input the block is not part of the object until it is written again; then it is."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    for spoilt in (data[: bench.unit - 1], data[: bench.unit + 1]):
        with bench.fails(Truncated):
            draft.write(0, 0, bench.unit, pieces(spoilt))
    bench.publish(draft, data)
    bench.holds(path, data)


@case(any_order)
def failed_rewrite(bench: Bench) -> None:
    """A block whose rewriting failed is never a mix of both."""
    path, data, other = bench.path("file"), three_blocks(bench), three_blocks(bench, 1)
    draft = bench.draft(path, len(data))
    written = bench.write(draft, data)
    with bench.fails(Truncated):
        draft.write(0, 0, bench.unit, pieces(other[: bench.unit // 2]))
    if not bench.refused(partial(draft.publish, written, if_absent=True, digests={})):
        bench.holds(path, data)


@case()
def broken_input(bench: Bench) -> None:
    """An error of the source goes through to the caller, and the draft does not count the block."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))

    def breaking() -> Iterator[Buffer]:
        yield data[: 64 * KiB - 1]
        raise Unreachable("the source broke off")

    with bench.fails(Unreachable):
        draft.write(0, 0, bench.unit, breaking())
    if any_order(bench.backend):
        bench.publish(draft, data)
        bench.holds(path, data)


@case()
def recycled_buffer(bench: Bench) -> None:
    """A buffer is only valid until the next one is asked for: who keeps it, copies it."""
    path, data = bench.path("file"), sample(bench.unit)
    buffer, step = bytearray(16 * KiB), 16 * KiB

    def recycling() -> Iterator[Buffer]:
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]
        buffer[:] = bytes(step)

    draft = bench.draft(path, len(data))
    written = [draft.write(0, 0, len(data), recycling())]
    buffer[:] = b"\xff" * step
    draft.seal()
    draft.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case()
def block_missing(bench: Bench) -> None:
    """Without all of its blocks nothing is published."""
    path, data = bench.path("file"), three_blocks(bench)
    for numbers in ((0, 1), (0,), ()):
        draft = bench.draft(path, len(data))
        written = bench.write(draft, data, numbers)
        with bench.fails(StorageError):
            draft.seal()
            draft.publish(written, if_absent=False, digests={})
        bench.absent(path)
        draft.discard()


@case()
def invisible(bench: Bench) -> None:
    """A draft is invisible until published, to every client."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    bench.absent(path)
    written = bench.write(draft, data)
    bench.absent(path)
    draft.seal()
    bench.absent(path)
    with bench.fails(NotFound):
        bench.open_backend().stat(path)
    draft.publish(written, if_absent=True, digests={})
    bench.holds(path, data)


@case()
def old_until_published(bench: Bench) -> None:
    """A reader sees the old object until the new one is published, then the whole new one."""
    old, data = sample(4000, 9), three_blocks(bench)
    path = bench.place("file", old)
    draft = bench.draft(path, len(data))
    bench.holds(path, old)
    written = bench.write(draft, data)
    draft.seal()
    bench.holds(path, old)
    draft.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case()
def failed_overwrite(bench: Bench) -> None:
    """An overwrite that is discarded leaves the old object, version and all."""
    path, data = bench.place("file", b"old"), three_blocks(bench)
    version = bench.backend.stat(path).version
    draft = bench.draft(path, len(data))
    bench.write(draft, data, (0,))
    draft.discard()
    bench.holds(path, b"old")
    require(bench.backend.stat(path).version == version, "the version of the old object changed")


@case()
def if_absent(bench: Bench) -> None:
    """``if_absent`` and something there: AlreadyExists, nothing changed."""
    path, data = bench.place("file", b"old"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    with bench.fails(AlreadyExists):
        bench.publish(draft, data, if_absent=True)
    bench.holds(path, b"old")
    draft.discard()
    bench.holds(path, b"old")


@case()
def if_absent_appeared(bench: Bench) -> None:
    """``if_absent`` is decided when the draft is published, not when it is begun."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    written = bench.write(draft, data)
    draft.seal()
    bench.place("file", b"someone else's")
    with bench.fails(AlreadyExists):
        draft.publish(written, if_absent=True, digests={})
    bench.holds(path, b"someone else's")


@case(atomic)
def if_absent_raced(bench: Bench) -> None:
    """Of two drafts that are published with ``if_absent`` at once exactly one wins."""
    path, contents = bench.path("file"), [sample(bench.unit, seed) for seed in (1, 2)]
    drafts = [bench.draft(path, bench.unit) for _ in contents]
    written = [bench.write(draft, data) for draft, data in zip(drafts, contents, strict=True)]
    for draft in drafts:
        draft.seal()

    def win(index: int) -> bool:
        publish = partial(drafts[index].publish, written[index], if_absent=True, digests={})
        return not bench.refused(publish, AlreadyExists)

    with ThreadPoolExecutor(2) as threads:
        won = list(threads.map(win, (0, 1)))
    require(won.count(True) == 1, f"{won.count(True)} of 2 won")
    bench.holds(path, contents[won.index(True)])


@case()
def two_at_one_path(bench: Bench) -> None:
    """Drafts of one path do not know of each other; the last one published is there, whole."""
    path, first, second = bench.path("file"), three_blocks(bench, 1), three_blocks(bench, 2)
    one, two = bench.draft(path, len(first)), bench.draft(path, len(second))
    mine = bench.write(one, first, (0,))
    bench.publish(two, second)
    bench.holds(path, second)
    mine += bench.write(one, first, (1, 2))
    one.seal()
    one.publish(mine, if_absent=False, digests={})
    bench.holds(path, first)


@case()
def sizes(bench: Bench) -> None:
    """Any size: none, one byte, and around the length of a block."""
    unit = bench.unit
    for size in (0, 1, unit - 1, unit, unit + 1, 2 * unit):
        path, data = bench.path(f"file-{size}"), sample(size)
        bench.publish(bench.draft(path, size), data)
        bench.holds(path, data)
        bench.backend.delete(path)


@case()
def right_digests(bench: Bench) -> None:
    """Right digests are accepted, and the ones the storage vouches for afterwards are right."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    written = bench.write(draft, data)
    draft.seal()
    right = {"sha-256": hashlib.sha256(data).hexdigest(), "unheard-of": "00"}
    entry = draft.publish(written, if_absent=False, digests=right)
    for name, value in {**entry.digests, **bench.backend.stat(path).digests}.items():
        require(computed(name, data) in (None, value), f"it vouches for a wrong {name}")
    bench.holds(path, data)


@case()
def wrong_digests(bench: Bench) -> None:
    """A storage that can check digests does so before the object is visible."""
    path, data = bench.place("file", b"old"), three_blocks(bench)
    for name, wrong in (("sha-256", "1" * 64), ("md5", "1" * 32), ("crc64nvme", "1" * 16)):
        draft = bench.draft(path, len(data))
        written = bench.write(draft, data)
        draft.seal()
        if bench.refused(partial(draft.publish, written, if_absent=False, digests={name: wrong}), DigestMismatch):
            bench.holds(path, b"old")
            draft.discard()
        else:
            bench.holds(path, data)
            bench.backend.put(path, b"old")


@case()
def identity(bench: Bench) -> None:
    """Draft.identity is the identity of the entry exactly when that draft became it."""
    path, data = bench.path("file"), three_blocks(bench)
    drafts = [bench.draft(path, len(data)) for _ in range(2)]
    for draft in drafts:
        entry = bench.publish(draft, data)
        seen = bench.backend.stat(path).identity
        require(entry.identity in (None, draft.identity), f"published {draft.identity}, it says {entry.identity}")
        require(seen == draft.identity, f"published {draft.identity}, stat says {seen}")
    if drafts[0].identity is not None:
        require(drafts[0].identity != drafts[1].identity, "two drafts have one identity")
        bench.backend.put(path, b"foreign")
        require(bench.backend.stat(path).identity != drafts[1].identity, "a foreign object has the identity of ours")


@case()
def deferred(bench: Bench) -> None:
    """Deferred drafts are whole and readable when published; extras.sync makes them durable together."""
    paths, data = [bench.path(f"file-{number}") for number in range(5)], sample(5000)
    for path in paths:
        key = new_key()
        draft = bench.backend.draft(path, len(data), key=key, deferred=True)
        bench.begun.append((path, key, draft.ref))
        bench.publish(draft, data)
    if bench.backend.extras.sync:
        bench.backend.extras.sync()
    for path in paths:
        bench.holds(path, data)


@case()
def read_back(bench: Bench) -> None:
    """What is written can be read back before it is published where limits.drafts_readable says so."""
    data = three_blocks(bench)
    draft = bench.draft(bench.path("file"), len(data))
    bench.write(draft, data)
    draft.seal()
    if not bench.backend.limits.drafts_readable:
        with bench.fails(Unsupported):
            list(draft.read(0, 10))
        return
    for offset, length in ((0, len(data)), (bench.unit - 5, 10), (len(data) - 1, 1), (3, 0)):
        got = b"".join(map(bytes, draft.read(offset, length)))
        require(got == data[offset : offset + length], f"read({offset}, {length}) gave {len(got)} other bytes")
