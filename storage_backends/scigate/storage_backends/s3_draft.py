"""A draft as a multipart upload: its parts survive the process that wrote them.

S3 lets whoever knows an upload add to it and complete it, so ownership is kept in the upload itself: the last part
number is never part of the object but holds a mark of the attempt that owns the draft. Taking over writes a new mark;
an attempt that finds another mark than its own is fenced. The mark goes when the upload ends. An attempt that stops
between reading the mark and completing could still complete, but only parts that are all the ones it knows, and
only once: the newer attempt then finds its upload gone and the object, which has the draft's identity, there.
On a server that wants every part completed there are no marks, and that last sentence is all the fence there is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from .backend import Buffer, Digests, Entry, PartReceipt
from .crash_points import reached
from .digests import Running
from .errors import AlreadyExists, DigestMismatch, Fenced, NotFound, Throttled, Truncated, Unreachable, Unsupported
from .s3_control import ControlPlane, Part
from .s3_data import DataPlane, exists, md5_of
from .s3_errors import status_of
from .s3_options import PART_MIN, PARTS_MAX
from .wire import Body

BLOCKS_MAX: Final = PARTS_MAX - 1
MARK_NUMBER: Final = PARTS_MAX
MARK_STEP: Final = 4096
_GONE: Final = "a newer attempt has taken this draft over, or finished or removed it"


@dataclass(frozen=True, slots=True)
class Ref:
    """What re-opens a draft: the upload, the identity it will have, and whether it takes a whole checksum."""

    upload: str
    identity: str
    checked: bool

    def __str__(self) -> str:
        return f"{'crc64nvme' if self.checked else 'none'} {self.identity} {self.upload}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """``NotFound`` if it is not one of ours."""
        checked, _, rest = text.partition(" ")
        identity, _, upload = rest.partition(" ")
        if checked not in {"crc64nvme", "none"} or not upload:
            raise NotFound("this is not the reference of an S3 draft")
        return cls(upload, identity, checked == "crc64nvme")


def mark_of(key: str, generation: int) -> bytes:
    """What an attempt writes as its mark when it is the ``generation``-th to own the draft.

    Later marks are longer, so that the last owner is known where a server lists a part that was written twice twice.
    The length tells attempts apart too: with some kinds of encryption an ETag is not a digest of the content.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return hashlib.shake_128(digest).digest(generation * MARK_STEP + 1 + int.from_bytes(digest[:2]) % MARK_STEP)


def may_be_mark_of(key: str, mark: Part) -> bool:
    """Whether a mark has the length that this attempt's would have."""
    return mark.size == len(mark_of(key, _generation(mark)))


def is_mark_of(key: str, mark: Part) -> bool:
    """Whether a mark is certainly this attempt's."""
    content = mark_of(key, _generation(mark))
    return mark.size == len(content) and mark.etag == md5_of(content)


def find_mark(control: ControlPlane, key: str, path: str, upload: str) -> Part | None:
    """The mark of the last attempt that took this upload. ``NotFound`` if the upload is gone."""
    marks = list(control.parts(key, path, upload, behind=MARK_NUMBER - 1))
    if not marks:  # some servers take the marker for an index
        marks = [part for part in control.parts(key, path, upload) if part.number == MARK_NUMBER]
    return max(marks, key=lambda mark: mark.size, default=None)


def _generation(mark: Part) -> int:
    return (mark.size - 1) // MARK_STEP


@dataclass(frozen=True, slots=True)
class Destination:
    """What a draft will become, and what its backend does for it."""

    data: DataPlane
    control: ControlPlane
    key: str
    path: str
    size: int
    marked: bool
    """Whether the storage completes an upload without the part that holds the mark."""
    compared: bool
    """Whether each part's ETag is compared with its MD5, because the storage would complete an upload of wrong ones."""
    put_empty: Callable[[str, bool], Entry]
    """(identity, if_absent): publish an object without bytes, which no upload can."""
    refuse_overwrite: Callable[[str, str], bool]
    """(key, path): whether the storage can refuse to overwrite; ``AlreadyExists`` if it cannot and has something."""


class S3Draft:
    """See ``scigate.storage_backends.backend.Draft`` for what the methods promise."""

    def __init__(self, destination: Destination, ref: Ref, attempt: str, *, is_new: bool) -> None:
        self._to = destination
        self._data, self._control = destination.data, destination.control
        self._key, self._path, self._size = destination.key, destination.path, destination.size
        self._upload = ref.upload
        self._checked = ref.checked
        self.ref = str(ref)
        self.identity: str | None = ref.identity
        self._asked = False  # to complete the upload
        self._spoilt: set[int] = set()  # blocks that the storage holds otherwise than they were sent
        self._mark = self._take(attempt, is_new)

    def _take(self, attempt: str, is_new: bool) -> Part | None:
        self._etags_are_md5 = self._to.compared  # with some kinds of encryption they are not
        if not self._to.marked:
            if not is_new:
                self._require_upload()
            return None
        old = None if is_new else find_mark(self._control, self._key, self._path, self._upload)
        content = mark_of(attempt, _generation(old) + 1 if old else 0)
        reached("s3.draft:unmarked")
        etag = self._send(MARK_NUMBER, content, len(content))
        self._etags_are_md5 = etag == md5_of(content)
        return Part(MARK_NUMBER, len(content), etag)

    def _require_upload(self) -> None:
        next(self._control.parts(self._key, self._path, self._upload), None)

    def _send(self, number: int, body: Body, length: int) -> str:
        return self._data.upload_part(self._key, self._path, self._upload, number, body=body, length=length)

    def write(self, number: int, offset: int, length: int, buffers: Iterable[Buffer]) -> PartReceipt:
        if not 0 <= number < BLOCKS_MAX:
            raise Unsupported(f"an S3 object has at most {BLOCKS_MAX} blocks, this is number {number}", path=self._path)
        if length == 0:
            return _nothing(number, offset, buffers)
        md5 = hashlib.md5(usedforsecurity=False) if self._to.compared else None
        try:
            etag = self._send(number + 1, iter(buffers) if md5 is None else _digested(buffers, md5), length)
        except NotFound as error:
            raise Fenced(_GONE, path=self._path) from error
        except (Unreachable, Unsupported) as error:
            # rclone streams a part on as it comes, and answers 501 when the same part comes again, also if it broke off
            if number not in self._spoilt and status_of(error) != 501:
                raise
            text = f"block {number} did not arrive as it was sent, and is not taken a second time"
            raise DigestMismatch(text, path=self._path) from error  # so that a new draft is begun
        if md5 is not None and md5.hexdigest() != etag:
            self._spoilt.add(number)
            raise DigestMismatch(f"block {number} did not arrive as it was sent", path=self._path)
        return PartReceipt(number, offset, length, etag)

    def parts(self) -> dict[int, PartReceipt]:
        try:
            listed = list(self._control.parts(self._key, self._path, self._upload))
        except NotFound as error:
            raise Fenced(_GONE, path=self._path) from error
        found = placed([part for part in listed if part.number != MARK_NUMBER], self._size)
        if not self._etags_are_md5:
            return found
        return {number: replace(part, digests={"md5": part.token}) for number, part in found.items()}

    def seal(self) -> None:
        """Nothing to do: S3 has stored a part durably when it answers."""

    def read(self, offset: int, length: int) -> Iterator[Buffer]:
        raise Unsupported("S3 does not give back the parts of an unfinished upload", path=self._path)

    def publish(self, receipts: Iterable[PartReceipt], *, if_absent: bool, digests: Digests) -> Entry:
        parts = sorted((Part(r.number + 1, r.length, r.token) for r in receipts if r.length), key=lambda p: p.number)
        given = sum(part.size for part in parts)
        if given != self._size:
            raise Truncated(f"the blocks hold {given} bytes, {self._size} were promised", path=self._path)
        try:
            return self._complete(parts, if_absent, digests)
        except Throttled as error:
            error.untouched = False  # the upload is there, whatever was refused
            raise
        except (NotFound, AlreadyExists) as error:
            if self._asked and (entry := self._was_it_me()) is not None:
                return entry
            if isinstance(error, NotFound):
                raise Fenced(_GONE, path=self._path) from error
            raise

    def _complete(self, parts: list[Part], if_absent: bool, digests: Digests) -> Entry:
        if not self._owned():
            raise Fenced(_GONE, path=self._path)
        conditional = if_absent and self._to.refuse_overwrite(self._key, self._path)
        if not parts:
            entry = self._to.put_empty(self.identity or "", if_absent)
            reached("s3.publish:put")
            self._control.abort(self._key, self._path, self._upload)
            return entry
        checksum = digests.get("crc64nvme") if self._checked else None
        self._asked = True
        reached("s3.publish:owned")
        etag = self._control.complete(
            self._key, self._path, self._upload, parts, if_none_match=conditional, crc64nvme=checksum
        )
        reached("s3.publish:completed")
        return self._confirmed(etag, if_absent, digests)

    def _confirmed(self, etag: str, if_absent: bool, digests: Digests) -> Entry:
        """Look at what is there now: servers have answered 200 for what they did not do."""
        found = exists(self._data, self._key, self._path)
        if found is None:
            raise Unreachable("the storage said it had published the object, but it is not there", path=self._path)
        entry = found.entry(self._path)
        if entry.identity not in {None, self.identity} and found.etag != etag:
            lost = AlreadyExists if if_absent else Fenced
            raise lost("somebody else has published here in the same moment", path=self._path)
        if entry.size != self._size:
            raise Truncated(f"the published object has {entry.size} bytes, not {self._size}", path=self._path)
        if any(digests.get(name, value) != value for name, value in entry.digests.items()):
            raise DigestMismatch("the storage has published other bytes than were written", path=self._path)
        return entry

    def _owned(self) -> bool:
        if self._mark is None:
            self._require_upload()
            return True
        return find_mark(self._control, self._key, self._path, self._upload) == self._mark

    def _was_it_me(self) -> Entry | None:
        """The published object, if it is this draft: our own answer may have got lost."""
        found = exists(self._data, self._key, self._path)
        return found.entry(self._path) if found and found.identity == self.identity else None

    def discard(self) -> None:
        try:
            owned = self._owned()
        except NotFound:
            return
        if owned:
            self._control.abort(self._key, self._path, self._upload)


def _digested(buffers: Iterable[Buffer], running: Running) -> Iterator[Buffer]:
    for buffer in buffers:
        running.update(buffer)
        yield buffer


def _nothing(number: int, offset: int, buffers: Iterable[Buffer]) -> PartReceipt:
    if any(len(buffer) for buffer in buffers):
        raise Truncated("bytes were given for a block of length 0")
    return PartReceipt(number, offset, 0)


def placed(parts: list[Part], size: int) -> dict[int, PartReceipt]:
    """Where the listed parts belong. S3 does not say, but all blocks except the last have one length.

    A single part other than the first could be a whole block or the last: then it is left out, and written again,
    and so is a part that is shorter than it can be.
    """
    if not parts:
        return {}
    block = max(part.size for part in parts)
    if len(parts) == 1 and parts[0].number > 1 and _may_be_last(parts[0], size):
        return {}
    offsets = ((part, (part.number - 1) * block) for part in parts)
    fitting = ((part, at) for part, at in offsets if part.size and (at + part.size == size or _is_whole(part, block)))
    return {p.number - 1: PartReceipt(p.number - 1, at, p.size, p.etag) for p, at in fitting if at + p.size <= size}


def _is_whole(part: Part, block: int) -> bool:
    return part.size == block >= PART_MIN


def _may_be_last(part: Part, size: int) -> bool:
    before, index = size - part.size, part.number - 1
    return before % index == 0 and before // index > part.size
