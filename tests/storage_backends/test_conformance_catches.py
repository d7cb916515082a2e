"""The conformance suite itself: each broken backend here is caught by the case that is meant to catch it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest
from scigate.storage_backends import memory
from scigate.storage_backends.backend import CopiedAndRead, Entry, Extras, PartReceipt
from scigate.storage_backends.errors import Fenced, NotFound, Truncated, Unreachable
from scigate.storage_backends.memory import Contents, MemoryBackend, MemoryDraft
from scigate.storage_backends.testing import CASES, Outcome, run_case
from scigate.storage_backends.testing.deviations import DEVIATIONS, SOMETIMES

SECRET = "canary-secret-4711"
MUTANTS: list[tuple[type[MemoryBackend], str]] = []


def caught_by(*cases: str) -> Callable[[type[MemoryBackend]], type[MemoryBackend]]:
    """The cases of which each must fail on the backend below."""

    def add(mutant: type[MemoryBackend]) -> type[MemoryBackend]:
        MUTANTS.extend((mutant, case) for case in cases)
        return mutant

    return add


class WithDraft(MemoryBackend):
    """A backend whose drafts are of another class."""

    drafts: type[MemoryDraft] = MemoryDraft

    def draft(self, path, size, *, key, ref=None, deferred=False):
        draft = super().draft(path, size, key=key, ref=ref)
        return self.drafts(self, draft.ref, key)


@caught_by("read.whole", "read.ranges", "read.to-the-end")
class EndsEarly(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        for buffer in super().read(path, offset, length, version=version):
            yield buffer[:-1] if len(buffer) > 1 else buffer


@caught_by("read.beyond-the-end")
class GivesWhatIsThere(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        size = self.stat(path).size
        offset = min(offset, size)
        return super().read(path, offset, min(length or size, size - offset), version=version)


@caught_by("read.zero-length")
class TakesZeroForAll(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        return super().read(path, offset, length or None, version=version)


@caught_by("read.stale-version")
class IgnoresVersion(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        return super().read(path, offset, length)


@caught_by("read.stale-version")
class NoticesChangeTooLate(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        yield from super().read(path, offset, length)
        list(super().read(path, version=version))


@caught_by("read.replaced-while-reading", "read.deleted-while-reading")
class ReadsLive(MemoryBackend):
    def read(self, path, offset=0, length=None, *, version=None):
        for start in range(0, self.stat(path).size, 1 << 16):
            with suppress(NotFound):
                found = b"".join(bytes(b) for b in super().read(path))
                yield found[start : start + (1 << 16)]


@caught_by("read.version-changes")
class VersionIsSize(MemoryBackend):
    def stat(self, path):
        entry = super().stat(path)
        return replace(entry, version=str(entry.size))


@caught_by("read.version-stable")
class VersionIsNews(MemoryBackend):
    def stat(self, path):
        return replace(super().stat(path), version=str(next(self.contents.numbers)))


@caught_by("read.digests-vouched")
class VouchesForAnything(MemoryBackend):
    def stat(self, path):
        return replace(super().stat(path), digests={"sha-256": "0" * 64})


@caught_by("read.stat-missing", "delete.missing", "read.missing")
class RaisesKeyError(MemoryBackend):
    def _stored(self, path, version=None):
        return self.contents.objects[path]


@caught_by("read.stat-missing", "manners.errors-say-what")
class ShowsItsSecret(MemoryBackend):
    def stat(self, path):
        if path not in self.contents.objects:
            raise NotFound(f"GET /{path} with password {SECRET}", path=path)
        return super().stat(path)


@caught_by("read.closed-early")
class LeaksConnections(MemoryBackend):
    open = 0

    def read(self, path, offset=0, length=None, *, version=None):
        LeaksConnections.open += 1
        if LeaksConnections.open > 10:
            raise Unreachable("no connection is free", path=path)
        yield from super().read(path, offset, length, version=version)
        LeaksConnections.open -= 1


@caught_by("scan.sibling-prefix")
class ScansByPrefix(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        for entry in super().scan("", after=after):
            if entry.path.startswith(prefix.rstrip("/")):
                yield entry


@caught_by("scan.resumed")
class ResumesAtAfter(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        for entry in super().scan(prefix, recursive=recursive):
            if after is None or entry.path >= after:
                yield entry


@caught_by("scan.resumed-after-deleted")
class ResumesByLookingForIt(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        entries = list(super().scan(prefix, recursive=recursive))
        paths = [entry.path for entry in entries]
        return iter(entries[paths.index(after) + 1 if after in paths else 0 :] if after else entries)


@caught_by("scan.many")
class LosesOneBetweenPages(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        for number, entry in enumerate(super().scan(prefix, after=after, recursive=recursive)):
            if number != 100:
                yield entry


@caught_by("scan.recursive", "scan.flat")
class RepeatsFolders(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        for entry in super().scan(prefix, after=after):
            below = entry.path[len(prefix) :]
            yield replace(entry, path=prefix + below.split("/")[0] + "/") if "/" in below else entry


@caught_by("scan.drafts-hidden", "draft.invisible")
class ListsDrafts(MemoryBackend):
    def scan(self, prefix="", *, after=None, recursive=True):
        yield from super().scan(prefix, after=after, recursive=recursive)
        drafts = [draft.path for draft in self.contents.drafts.values()]
        yield from (Entry(path) for path in drafts if path.startswith(prefix))


@caught_by("put.if-absent")
class PutReplacesAnyway(MemoryBackend):
    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        return super().put(path, data, digests=digests, key=key)


@caught_by("put.if-absent-raced")
class LooksThenPuts(MemoryBackend):
    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.looked: list[str] = []
        self.others_looked = Event()

    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        if if_absent and path in self.contents.objects:
            return super().put(path, data, if_absent=True)
        self.looked.append(path)
        if len(self.looked) > 1:
            self.others_looked.set()
        self.others_looked.wait(120)
        return super().put(path, data, digests=digests, key=key)


@caught_by("put.wrong-digests")
class StoresThenChecks(MemoryBackend):
    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        super().put(path, data, if_absent=if_absent, key=key)
        return super().put(path, data, digests=digests, key=key)


@caught_by("put.whole-for-readers")
class PutsInHalves(MemoryBackend):
    """The first half of what replaces something is there until somebody has read it."""

    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.half, self.half_read = False, Event()

    def read(self, path, offset=0, length=None, *, version=None):
        half = self.half
        yield from super().read(path, offset, length, version=version)
        if half:
            self.half_read.set()

    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        replaces = path in self.contents.objects
        super().put(path, bytes(data)[: len(data) // 2])
        if replaces:
            self.half = True
            self.half_read.wait(120)
            self.half = False
        return super().put(path, data, if_absent=False, digests=digests, key=key)


@caught_by("put.identity")
class OneIdentityForAll(MemoryBackend):
    def stat(self, path):
        return replace(super().stat(path), identity="always-me")


@caught_by("put.over-a-folder")
class FileRemovesFolder(MemoryBackend):
    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        for name in [name for name in self.contents.objects if name.startswith(path + "/")]:
            self.contents.set(name, None)
        return super().put(path, data, if_absent=if_absent, digests=digests, key=key)


@caught_by("delete.missing")
class DeletesNothingSilently(MemoryBackend):
    def delete(self, path):
        with suppress(NotFound):
            super().delete(path)


@caught_by("delete.full-folder")
class DeletesWholeFolders(MemoryBackend):
    def delete(self, path):
        for name in [name for name in self.contents.objects if name == path or name.startswith(path.rstrip("/") + "/")]:
            self.contents.set(name, None)


class Lenient(MemoryDraft):
    def write(self, number, offset, length, buffers):
        data = b"".join(map(bytes, buffers))[:length]
        return super().write(number, offset, len(data), [data])


@caught_by("draft.short-input", "draft.long-input", "draft.refused-block-written-again")
class AcceptsAnyLength(WithDraft):
    drafts = Lenient


class KeepsOldBlock(MemoryDraft):
    def write(self, number, offset, length, buffers):
        draft = self._owned()
        old = draft.blocks.get(number, (offset, bytes(length)))[1]
        data = b""
        try:
            for buffer in buffers:
                data += bytes(buffer)
            return super().write(number, offset, length, [data])
        except Truncated:
            draft.blocks[number] = (offset, (data + old[len(data) :])[:length])
            raise


@caught_by("draft.failed-rewrite", "recover.refused-block-not-told")
class MixesBlocks(WithDraft):
    drafts = KeepsOldBlock


class Hoarder(MemoryDraft):
    def write(self, number, offset, length, buffers):
        return super().write(number, offset, length, list(buffers))


@caught_by("draft.recycled-buffer")
class KeepsBuffers(WithDraft):
    drafts = Hoarder


class Incomplete(MemoryDraft):
    def publish(self, receipts, *, if_absent, digests):
        draft = self._owned()
        draft.size = sum(len(data) for _, data in draft.blocks.values())
        return super().publish(receipts, if_absent=if_absent, digests=digests)


@caught_by("draft.block-missing")
class PublishesHoles(WithDraft):
    drafts = Incomplete


class Replacing(MemoryDraft):
    def publish(self, receipts, *, if_absent, digests):
        return super().publish(receipts, if_absent=False, digests=digests)


@caught_by("draft.if-absent", "draft.if-absent-appeared", "draft.if-absent-raced")
class PublishReplacesAnyway(WithDraft):
    drafts = Replacing


class Restoring(MemoryDraft):
    """Its blocks are kept when it is published."""

    def publish(self, receipts, *, if_absent, digests):
        kept = self._owned()
        entry = super().publish(receipts, if_absent=if_absent, digests=digests)
        self._contents.drafts[self.ref] = kept
        return entry

    def discard(self):
        self._contents.drafts.pop(self.ref, None)


@caught_by("publish.again", "publish.again-too-late")
class PublishesTwice(WithDraft):
    drafts = Restoring


class Anonymous(MemoryDraft):
    def publish(self, receipts, *, if_absent, digests):
        path = self._owned().path
        entry = super().publish(receipts, if_absent=if_absent, digests=digests)
        stored = self._contents.objects[path]
        self._contents.objects[path] = replace(stored, entry=replace(stored.entry, identity="somebody"))
        return entry


@caught_by("publish.again-if-absent")
class ForgetsWhoPublished(WithDraft):
    drafts = Anonymous


class Tokens(MemoryDraft):
    """It gives tokens and never looks at them again."""

    def write(self, number, offset, length, buffers):
        return replace(super().write(number, offset, length, buffers), token=f"token-{self.ref}-{number}")


@caught_by("publish.wrong-token")
class TakesAnyToken(WithDraft):
    drafts = Tokens


class Global(Tokens):
    """It takes blocks by their tokens, whosever they are."""

    def publish(self, receipts, *, if_absent, digests):
        receipts, draft = list(receipts), self._owned()
        for receipt in receipts:
            theirs = self._contents.drafts[receipt.token.removeprefix("token-").rpartition("-")[0]]
            draft.blocks[receipt.number] = theirs.blocks[receipt.number]
        return super().publish(receipts, if_absent=if_absent, digests=digests)


@caught_by("publish.foreign-receipts")
class TakesForeignBlocks(WithDraft):
    drafts = Global


class Counting(MemoryDraft):
    def publish(self, receipts, *, if_absent, digests):
        receipts, draft = list(receipts), self._owned()
        whole = b"".join(draft.blocks[receipt.number][1] for receipt in receipts)
        draft.blocks, draft.size = {0: (0, whole)}, len(whole)
        return super().publish(receipts[:1], if_absent=if_absent, digests=digests)


@caught_by("publish.receipt-twice")
class CountsReceipts(WithDraft):
    drafts = Counting


@caught_by("publish.put-again")
class PutsAgain(MemoryBackend):
    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        return super().put(path, data, if_absent=if_absent and not key, digests=digests, key=key)


class Padding(MemoryDraft):
    def write(self, number, offset, length, buffers):
        data = b"".join(map(bytes, buffers)).ljust(min(length, 2), b"\0") + (b"\0" if length < 2 else b"")
        self._owned().size += len(data) - length
        return super().write(number, offset, len(data), [data])


@caught_by("publish.one-short-block")
class PadsShortBlocks(WithDraft):
    drafts = Padding


class Dropping(MemoryDraft):
    def write(self, number, offset, length, buffers):
        if length > 1:
            return super().write(number, offset, length, buffers)
        self._owned().size -= length
        return PartReceipt(number, offset, length)

    def publish(self, receipts, *, if_absent, digests):
        draft = self._owned()
        first = min(offset for offset, _ in draft.blocks.values())
        draft.blocks = {number: (offset - first, data) for number, (offset, data) in draft.blocks.items()}
        whole = [receipt for receipt in receipts if receipt.number in draft.blocks]
        return super().publish(whole, if_absent=if_absent, digests=digests)


@caught_by("publish.short-block")
class DropsShortBlocks(WithDraft):
    drafts = Dropping


class InOrderOnly(MemoryDraft):
    def write(self, number, offset, length, buffers):
        if number != len(self._owned().blocks):
            raise Truncated("not the next block")
        return super().write(number, offset, length, buffers)


@caught_by("draft.blocks-in-any-order", "draft.block-again")
class SequentialButDoesNotSay(WithDraft):
    drafts = InOrderOnly


@caught_by("draft.invisible", "draft.old-until-published", "draft.failed-overwrite")
class VisibleEarly(MemoryBackend):
    def draft(self, path, size, *, key, ref=None, deferred=False):
        self.put(path, b"")
        return super().draft(path, size, key=key, ref=ref)


class Unfenced(MemoryDraft):
    def _owned(self):
        if self.ref not in self._contents.drafts:
            raise Fenced("gone")
        return self._contents.drafts[self.ref]


@caught_by("recover.taken-over", "recover.fenced-when-whole")
class DoesNotFence(WithDraft):
    drafts = Unfenced


class Eager(MemoryDraft):
    def discard(self):
        self._contents.drafts.pop(self.ref, None)


@caught_by("recover.fenced-keeps-off")
class FencedDiscards(WithDraft):
    drafts = Eager


class DiscardsOnce(MemoryDraft):
    def discard(self):
        del self._contents.drafts[self.ref]


@caught_by("recover.discarded")
class SecondDiscardFails(WithDraft):
    drafts = DiscardsOnce


@caught_by("recover.gone")
class BeginsAnew(MemoryBackend):
    def draft(self, path, size, *, key, ref=None, deferred=False):
        return super().draft(path, size, key=key, ref=ref if ref in self.contents.drafts else None)


@caught_by("recover.reopened", "recover.parts-told")
class ForgetsBlocks(MemoryBackend):
    def draft(self, path, size, *, key, ref=None, deferred=False):
        if ref in self.contents.drafts:
            self.contents.drafts[ref].blocks.clear()
        return super().draft(path, size, key=key, ref=ref)


@caught_by("recover.abandoned")
class AbandonsNothing(MemoryBackend):
    def abandon(self, path, *, key, ref, since):
        pass


@caught_by("recover.abandoned")
class NeedsRefToAbandon(MemoryBackend):
    def abandon(self, path, *, key, ref, since):
        self.contents.drafts.pop(ref, None)


@caught_by("recover.abandoned-not-others")
class AbandonsByPath(MemoryBackend):
    def abandon(self, path, *, key, ref, since):
        for name in [name for name, draft in self.contents.drafts.items() if draft.path == path]:
            del self.contents.drafts[name]


@caught_by("recover.abandoned-key-prefix")
class AbandonsByPrefix(MemoryBackend):
    def abandon(self, path, *, key, ref, since):
        for name in [name for name, draft in self.contents.drafts.items() if draft.key.startswith(key)]:
            del self.contents.drafts[name]


@caught_by("recover.abandoned-when-published")
class AbandonsThePublished(MemoryBackend):
    def abandon(self, path, *, key, ref, since):
        self.contents.set(path, None)


class Renaming(MemoryBackend):
    """Changes names on the way in and forgets that it did."""

    def change(self, name: str) -> str:
        raise NotImplementedError

    def store(self, path, blocks, **rest):
        return super().store(self.change(path), blocks, **rest)

    def _stored(self, path, version=None):
        return super()._stored(self.change(path), version)

    def delete(self, path):
        super().delete(self.change(path))


@caught_by("name.kept-not-normal", "name.apart-normal-forms")
class NormalisesNames(Renaming):
    def change(self, name: str) -> str:
        return unicodedata.normalize("NFC", name)


@caught_by("name.kept-double-slash", "name.apart-double-slash")
class JoinsSlashes(Renaming):
    def change(self, name: str) -> str:
        return name.replace("//", "/")


@caught_by("name.apart-case")
class FoldsCase(Renaming):
    def change(self, name: str) -> str:
        return name.lower()


@caught_by("name.too-long")
class CutsNames(Renaming):
    def change(self, name: str) -> str:
        return name[:300]


@caught_by("name.refused-nul", "name.refused-dot-dot", "put.outside-the-root")
class TakesAnyName(MemoryBackend):
    def store(self, path, blocks, *, if_absent, digests, key):
        entry = Entry(path, size=sum(map(len, blocks)))
        self.contents.set(path, memory.Stored(entry, blocks))
        return entry


class BrokenCopy(MemoryBackend):
    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.extras = Extras(
            copy=self.bad_copy, copy_and_read=self.bad_copy_and_read, move=self.bad_move, digest=self.bad_digest
        )

    def bad_copy(self, source, destination, *, version, if_absent, key, progress):
        with suppress(BaseException):
            progress(1)
        return self._copy(source, destination, version=None, if_absent=False, key=key, progress=lambda count: None)

    def bad_copy_and_read(self, source, destination, *, version, if_absent, key):
        entry = self._copy(source, destination, version=None, if_absent=False, key="", progress=lambda count: None)
        return CopiedAndRead(replace(entry, identity=key), "0" * 16, "0" * 16)

    def bad_move(self, source, destination, if_absent):
        return self.bad_copy(source, destination, version=None, if_absent=False, key="", progress=lambda count: None)

    def bad_digest(self, path, algorithm):
        return self._digest(path, "md5")


caught_by("copy.copied", "copy.copied-over", "copy.copied-version", "copy.copy-stopped")(BrokenCopy)
caught_by("copy.read-as-well", "copy.read-as-well-over", "copy.read-as-well-version", "copy.read-as-well-identity")(
    BrokenCopy
)
caught_by("move.moved", "move.moved-over", "digest.digest-right", "digest.digest-refused")(BrokenCopy)


@caught_by("read-only.writes-nothing", "read-only.claims-no-writing")
class ReadOnlyByName(MemoryBackend):
    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.limits = replace(self.limits, read_only=True)


@caught_by("manners.limits-possible")
class ImpossibleLimits(MemoryBackend):
    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.limits = replace(self.limits, block_min=1 << 30, block_max=1 << 20)


@caught_by("manners.threads")
class OneThreadOnly(MemoryBackend):
    def __init__(self, contents: Contents, capacity: int) -> None:
        super().__init__(contents, capacity)
        self.current, self.second = "", Event()

    def put(self, path, data, *, if_absent=False, digests=None, key=""):
        if self.current not in ("", path):
            self.second.set()
        self.current = path
        self.second.wait(120)
        return super().put(self.current, data, if_absent=if_absent, digests=digests, key=key)


def outcome(mutant: type[MemoryBackend], name: str) -> Outcome:
    contents = Contents()
    case = next(case for case in CASES if case.name == name)

    def seed(path: str, data: bytes) -> None:
        MemoryBackend(contents, 1 << 30).put(path, data)

    def open_backend() -> MemoryBackend:
        return mutant(contents, 1 << 30)

    is_read_only = open_backend().limits.read_only
    result = run_case(case, open_backend, "c/", seed=seed if is_read_only else None, secrets=(SECRET,), deviations={})
    return result.outcome


@pytest.mark.parametrize(("mutant", "case"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_backend_is_caught(mutant: type[MemoryBackend], case: str) -> None:
    assert outcome(mutant, case) is Outcome.FAILED


@pytest.mark.parametrize(
    "case", sorted({case for _, case in MUTANTS} - {"read-only.writes-nothing", "read-only.claims-no-writing"})
)
def test_the_right_one_is_not(case: str) -> None:
    assert outcome(MemoryBackend, case) is Outcome.PASSED


def test_a_deviation_that_is_none_any_more_is_stale() -> None:
    contents, case = Contents(), CASES[0]
    result = run_case(case, lambda: MemoryBackend(contents, 1 << 30), "c/", deviations={case.name: "once it failed"})
    assert (result.outcome, result.good) == (Outcome.STALE, False)


def test_a_deviation_is_run_and_expected_to_fail() -> None:
    contents = Contents()
    case = next(case for case in CASES if case.name == "read.whole")
    result = run_case(case, lambda: EndsEarly(contents, 1 << 30), "c/", deviations={case.name: "it ends early"})
    assert (result.outcome, result.good) == (Outcome.DEVIATES, True)


@pytest.mark.parametrize(("backend", "expected"), [(EndsEarly, Outcome.DEVIATES), (MemoryBackend, Outcome.PASSED)])
def test_a_race_that_is_lost_sometimes_may_end_either_way(backend: type[MemoryBackend], expected: Outcome) -> None:
    contents = Contents()
    case = next(case for case in CASES if case.name == "read.whole")
    result = run_case(
        case, lambda: backend(contents, 1 << 30), "c/", deviations={case.name: f"{SOMETIMES}it is a race"}
    )
    assert (result.outcome, result.good) == (expected, True)


def test_deviations_are_of_cases_that_there_are_and_say_why() -> None:
    names = {case.name for case in CASES}
    for server, deviations in DEVIATIONS.items():
        assert set(deviations) <= names, server
        assert all(len(reason.split()) > 5 for reason in deviations.values()), server


def test_only_races_may_end_either_way() -> None:
    sometimes = {
        case for table in DEVIATIONS.values() for case, reason in table.items() if reason.startswith(SOMETIMES)
    }
    assert sometimes <= {"draft.if-absent-raced", "put.if-absent-raced", "put.whole-for-readers", "manners.threads"}


def test_nothing_is_left_after_a_run() -> None:
    contents = Contents()
    for case in CASES:
        run_case(case, lambda: MemoryBackend(contents, 1 << 30), "c/", deviations={})
        assert (contents.objects, contents.drafts) == ({}, {}), case.name


def test_names_and_promises_are_there_and_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert all(case.promise.endswith((".", "?")) for case in CASES)
