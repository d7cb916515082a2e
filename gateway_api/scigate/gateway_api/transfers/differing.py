"""Which blocks are wrong, when a digest of the whole file says that some are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scigate.storage_backends.backend import Draft, PartReceipt
from scigate.storage_backends.digests import ALGORITHMS, start
from scigate.storage_backends.errors import StorageError

from .copying import Route
from .runtime import Runtime, at, guarded
from .tasks import DoneBlock

CRC: Final = "crc64nvme"


def differing_blocks(runtime: Runtime, route: Route, draft: Draft, blocks: Sequence[DoneBlock]) -> list[DoneBlock]:
    """The blocks that the source gives otherwise when it is read again, and those that the storage holds otherwise as
    far as its digests tell. Empty if nobody can tell them apart: then all are wrong."""
    try:
        parts = {} if route.destination.limits.drafts_readable else _parts(route, draft)
        return [done for done in blocks if _differs(runtime, route, done, parts)]
    except StorageError:  # what is known already matters more: that the file is wrong
        return []


def _parts(route: Route, draft: Draft) -> Mapping[int, PartReceipt]:
    with at(route.task.destination_storage):
        return draft.parts()


def _differs(runtime: Runtime, route: Route, done: DoneBlock, parts: Mapping[int, PartReceipt]) -> bool:
    part = parts.get(done.block.number)
    vouched = {} if part is None else {name: value for name, value in part.digests.items() if name in ALGORITHMS}
    expected = {**vouched, CRC: done.crc64nvme}
    running = start(expected)
    again = route.source.read(route.source_path, done.block.offset, done.block.length, version=route.version)
    for buffer in guarded(runtime, route.task, again):
        for one in running.values():
            one.update(buffer)
    return any(running[name].hexdigest() != value for name, value in expected.items())
