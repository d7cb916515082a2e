"""Cases about the moment of publishing: asked twice because the answer got lost, or with receipts that do not fit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..backend import Draft, PartReceipt
from ..errors import AlreadyExists
from .case import Bench, Cases, new_key, putting, require, sample, writable
from .drafting import any_order, three_blocks

CASES = Cases("publish", writable)
case = CASES.case


def written(bench: Bench, path: str, data: bytes) -> tuple[Draft, list[PartReceipt]]:
    """A draft with all its blocks, ready to be published."""
    draft = bench.draft(path, len(data))
    receipts = bench.write(draft, data)
    draft.seal()
    return draft, receipts


def twice(bench: Bench, *, if_absent: bool) -> None:
    """Publish, then publish the same draft again; what is there stays as it was."""
    path, data = bench.path("file"), three_blocks(bench)
    draft, receipts = written(bench, path, data)
    entry = draft.publish(receipts, if_absent=if_absent, digests={})
    bench.refused(partial(draft.publish, receipts, if_absent=if_absent, digests={}))
    seen = bench.backend.stat(path)
    require(entry.version in (None, seen.version), "publishing again changed the version")
    require(seen.identity == draft.identity, f"it has the identity {seen.identity}, not {draft.identity}")
    bench.holds(path, data)


@case()
def again(bench: Bench) -> None:
    """Published again, because the answer got lost, a draft is found or refused; the object stays as it is."""
    twice(bench, if_absent=False)


@case()
def again_if_absent(bench: Bench) -> None:
    """The same with ``if_absent``, where what is there is the draft itself."""
    twice(bench, if_absent=True)


@case()
def again_too_late(bench: Bench) -> None:
    """Published again after somebody else has written here, a draft does not come back."""
    path, data = bench.path("file"), three_blocks(bench)
    draft, receipts = written(bench, path, data)
    draft.publish(receipts, if_absent=False, digests={})
    bench.backend.put(path, b"newer")
    bench.refused(partial(draft.publish, receipts, if_absent=False, digests={}))
    bench.holds(path, b"newer")


@case(putting)
def put_again(bench: Bench) -> None:
    """``put`` with ``if_absent`` and the same key again: found or AlreadyExists; the object stays as it is."""
    path, key = bench.path("file"), new_key()
    put = partial(bench.backend.put, path, sample(1000), if_absent=True, key=key)
    version = put().version
    bench.refused(put, AlreadyExists)
    require(version in (None, bench.backend.stat(path).version), "putting again changed the version")
    bench.holds(path, sample(1000))


@case()
def wrong_token(bench: Bench) -> None:
    """Where receipts hold a token, one with another token is refused, and nothing is published."""
    path, data = bench.path("file"), three_blocks(bench)
    draft, receipts = written(bench, path, data)
    if not receipts[0].token:
        return
    spoilt = [replace(receipts[0], token="0" * len(receipts[0].token)), *receipts[1:]]
    refused = bench.refused(partial(draft.publish, spoilt, if_absent=True, digests={}))
    require(refused, "a receipt that the storage never gave was taken")
    bench.absent(path)


@case()
def foreign_receipts(bench: Bench) -> None:
    """Receipts of another draft are refused, or stand for this draft's own blocks: no other bytes get in."""
    path, data = bench.path("file"), three_blocks(bench, 1)
    draft, _ = written(bench, path, data)
    _, foreign = written(bench, bench.path("other"), three_blocks(bench, 2))
    if bench.refused(partial(draft.publish, foreign, if_absent=True, digests={})):
        bench.absent(path)
    else:
        bench.holds(path, data)


@case()
def receipt_twice(bench: Bench) -> None:
    """A receipt that is given twice is refused, or counts once."""
    path, data = bench.path("file"), three_blocks(bench)
    draft, receipts = written(bench, path, data)
    if bench.refused(partial(draft.publish, [*receipts, receipts[1]], if_absent=True, digests={})):
        bench.absent(path)
    else:
        bench.holds(path, data)


def cuts_blocks(bench: Bench, lengths: tuple[int, ...]) -> None:
    """Write blocks of these lengths; the object is refused or right."""
    path, data = bench.path("file"), sample(sum(lengths))

    def publish() -> None:
        draft, receipts, offset = bench.draft(path, len(data)), list[PartReceipt](), 0
        for number, length in enumerate(lengths):
            block = data[offset : offset + length]
            receipts.append(draft.write(number, offset, length, iter([block])))
            offset += length
        draft.seal()
        draft.publish(receipts, if_absent=True, digests={})

    if bench.refused(publish):
        bench.absent(path)
    else:
        bench.holds(path, data)


@case(any_order)
def short_block(bench: Bench) -> None:
    """A block below ``limits.block_min`` that is not the last is refused, or the object is right."""
    cuts_blocks(bench, (max(bench.backend.limits.block_min - 1, 1), bench.unit, 10))


@case()
def one_short_block(bench: Bench) -> None:
    """A single block is the last one, and as short as it likes."""
    path, data = bench.path("file"), sample(1)
    draft, receipts = written(bench, path, data)
    draft.publish(receipts, if_absent=True, digests={})
    bench.holds(path, data)
