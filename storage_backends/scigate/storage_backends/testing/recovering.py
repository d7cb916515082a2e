"""Cases about what is left when a process dies: re-opening, taking over, discarding, abandoning drafts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..backend import Draft, PartReceipt
from ..errors import Fenced, NotFound, StorageError
from .case import Bench, Cases, new_key, require, sample, writable
from .drafting import any_order, three_blocks

CASES = Cases("recover", writable)
case = CASES.case


def begin(bench: Bench, data: bytes, name: str = "file") -> tuple[str, Draft, list[PartReceipt]]:
    """A draft whose process dies after the first block."""
    path = bench.path(name)
    draft = bench.draft(path, len(data))
    return path, draft, bench.write(draft, data, (0,))


@case()
def reopened(bench: Bench) -> None:
    """``ref`` re-opens a draft in another process, with the blocks it holds."""
    data = three_blocks(bench)
    path, lost, written = begin(bench, data)
    draft = bench.draft(path, len(data), backend=bench.open_backend(), ref=lost.ref)
    written += bench.write(draft, data, (1, 2))
    draft.seal()
    draft.publish(written, if_absent=True, digests={})
    bench.holds(path, data)


@case()
def parts_told(bench: Bench) -> None:
    """parts gives the blocks the storage holds, or none if it cannot say; they can be published as they are."""
    data = three_blocks(bench)
    path, lost, written = begin(bench, data)
    written += bench.write(lost, data, (1,))
    draft = bench.draft(path, len(data), backend=bench.open_backend(), ref=lost.ref)
    parts = dict(draft.parts())
    told = sorted((number, part.number, part.offset, part.length) for number, part in parts.items())
    require(told in ([], [(0, 0, 0, bench.unit), (1, 1, bench.unit, bench.unit)]), f"parts says {told}")
    kept = list(parts.values()) or written
    last = bench.write(draft, data, (2,))
    draft.seal()
    draft.publish([*kept, *last], if_absent=True, digests={})
    bench.holds(path, data)


@case()
def refused_block_not_told(bench: Bench) -> None:
    """A block whose input was refused is not among the parts."""
    data = three_blocks(bench)
    path, lost, _ = begin(bench, data)
    bench.refused(lambda: lost.write(1, bench.unit, bench.unit, [data[:1000]]))
    draft = bench.draft(path, len(data), backend=bench.open_backend(), ref=lost.ref)
    require(set(draft.parts()) <= {0}, f"parts says {sorted(draft.parts())}, only block 0 was written")


@case()
def taken_over(bench: Bench) -> None:
    """Taking over fences the older attempt: its publish fails from now on, and the newer one's does not."""
    data = three_blocks(bench)
    path, old, written = begin(bench, data)
    new = bench.draft(path, len(data), backend=bench.open_backend(), ref=old.ref)
    written += bench.write(new, data, (1, 2))
    with bench.fails(Fenced):
        old.publish(written, if_absent=False, digests={})
    bench.absent(path)
    new.seal()
    new.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case()
def fenced_when_whole(bench: Bench) -> None:
    """An attempt that had written everything and was taken over cannot publish any more."""
    data = three_blocks(bench)
    path = bench.path("file")
    old = bench.draft(path, len(data))
    written = bench.write(old, data)
    old.seal()
    new = bench.draft(path, len(data), backend=bench.open_backend(), ref=old.ref)
    with bench.fails(Fenced):
        old.publish(written, if_absent=False, digests={})
    bench.absent(path)
    new.seal()
    new.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case()
def fenced_after_the_end(bench: Bench) -> None:
    """When the newer attempt is done, the older one changes nothing: it fails, or finds the draft published."""
    data = three_blocks(bench)
    path, old, written = begin(bench, data)
    new = bench.draft(path, len(data), backend=bench.open_backend(), ref=old.ref)
    written += bench.write(new, data, (1, 2))
    new.seal()
    entry = new.publish(written, if_absent=False, digests={})
    for action in (lambda: old.publish(written, if_absent=False, digests={}), old.discard):
        bench.refused(action)
        require(bench.backend.stat(path).version == entry.version, "the older attempt changed the object")
    bench.holds(path, data)


@case()
def fenced_keeps_off(bench: Bench) -> None:
    """An attempt that was taken over stops and touches nothing: its discard leaves the newer one alone."""
    data = three_blocks(bench)
    path, old, written = begin(bench, data)
    new = bench.draft(path, len(data), backend=bench.open_backend(), ref=old.ref)
    bench.refused(old.discard, Fenced)
    written += bench.write(new, data, (1, 2))
    new.seal()
    new.publish(written, if_absent=False, digests={})
    bench.holds(path, data)


@case()
def identity_after_take_over(bench: Bench) -> None:
    """The entry has the identity of the attempt that published it."""
    data = three_blocks(bench)
    path, old, written = begin(bench, data)
    new = bench.draft(path, len(data), backend=bench.open_backend(), ref=old.ref)
    written += bench.write(new, data, (1, 2))
    new.seal()
    new.publish(written, if_absent=False, digests={})
    seen = bench.backend.stat(path).identity
    require(seen == new.identity, f"the newer attempt is {new.identity}, stat says {seen}")


@case()
def gone(bench: Bench) -> None:
    """A ``ref`` that is gone, because it was published or discarded, is NotFound."""
    data = three_blocks(bench)
    done = bench.draft(bench.path("done"), len(data))
    bench.publish(done, data)
    _, dropped, _ = begin(bench, data, "dropped")
    dropped.discard()
    for name, ref in (("done", done.ref), ("dropped", dropped.ref)):
        with bench.fails(NotFound):
            bench.draft(bench.path(name), len(data), ref=ref)
    bench.holds(bench.path("done"), data)


@case()
def refs_differ(bench: Bench) -> None:
    """A ref and an identity belong to one draft."""
    drafts = [bench.draft(bench.path("file"), 10) for _ in range(3)]
    require(len({draft.ref for draft in drafts}) == 3, "two drafts have one ref")
    require(all(draft.ref for draft in drafts), "a draft has no ref")
    secrets = bench.secrets
    require(not any(secret in draft.ref for secret in secrets for draft in drafts), "a ref holds a secret")


@case()
def discarded(bench: Bench) -> None:
    """discard removes the draft; discarding what is gone already is fine."""
    data = three_blocks(bench)
    path, draft, written = begin(bench, data)
    draft.discard()
    draft.discard()
    bench.open_backend()
    with bench.fails(StorageError):
        draft.publish(written, if_absent=False, digests={})
    bench.absent(path)
    if any_order(bench.backend):
        bench.publish(bench.draft(path, len(data)), data)
        bench.holds(path, data)


@case()
def discarded_when_published(bench: Bench) -> None:
    """Discarding a draft that was published never touches the object."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    bench.publish(draft, data)
    bench.refused(draft.discard)
    bench.holds(path, data)


@case()
def abandoned(bench: Bench) -> None:
    """abandon removes whatever a draft may have left, with ref and without."""
    data = three_blocks(bench)
    for with_ref in (True, False):
        path, draft, written = begin(bench, data, f"new-folder-{with_ref}/file")
        ref = draft.ref if with_ref else None
        other = bench.open_backend()
        other.abandon(path, key=bench.key_of(draft), ref=ref, since=bench.since)
        other.abandon(path, key=bench.key_of(draft), ref=ref, since=bench.since)
        with bench.fails(StorageError):
            draft.publish(written, if_absent=False, digests={})
        with bench.fails(NotFound):
            bench.draft(path, len(data), ref=draft.ref)
        bench.absent(path)


@case()
def abandoned_when_published(bench: Bench) -> None:
    """abandon never touches the published object, not even the one that this draft became."""
    path, data = bench.path("file"), three_blocks(bench)
    draft = bench.draft(path, len(data))
    bench.publish(draft, data)
    for ref in (draft.ref, None):
        bench.backend.abandon(path, key=bench.key_of(draft), ref=ref, since=bench.since)
        bench.holds(path, data)


@case()
def abandoned_not_others(bench: Bench) -> None:
    """abandon never touches anybody else's drafts, of this path or of another."""
    data = three_blocks(bench)
    path, mine, _ = begin(bench, data)
    _, theirs, written = begin(bench, data)
    other_path, elsewhere, others = begin(bench, data, "file2")
    bench.backend.abandon(path, key=bench.key_of(mine), ref=None, since=bench.since)
    bench.backend.abandon(path, key=new_key(), ref=None, since=bench.since)
    for draft, first in ((theirs, written), (elsewhere, others)):
        rest = bench.write(draft, data, (1, 2))
        draft.seal()
        draft.publish([*first, *rest], if_absent=True, digests={})
    bench.holds(path, data)
    bench.holds(other_path, data)


@case()
def abandoned_key_prefix(bench: Bench) -> None:
    """Keys are compared whole: abandoning ``x-1`` leaves the draft of ``x-10``."""
    path, data, key = bench.path("file"), sample(100), new_key()
    draft = bench.backend.draft(path, len(data), key=f"{key}-10")
    bench.begun.append((path, f"{key}-10", draft.ref))
    bench.backend.abandon(path, key=f"{key}-1", ref=None, since=bench.since)
    bench.publish(draft, data)
    bench.holds(path, data)


@case()
def abandoned_nothing(bench: Bench) -> None:
    """Abandoning what never began is fine."""
    for name in ("file", "no-folder/file"):
        bench.backend.abandon(bench.path(name), key=new_key(), ref=None, since=bench.since)
    bench.backend.abandon(bench.path("file"), key=new_key(), ref=None, since=datetime.now(UTC) + timedelta(hours=1))
