"""Copies inside one S3 storage: no byte passes through us."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from .backend import GiB, MiB
from .crash_points import reached
from .errors import ErrorKind, StorageError, Throttled
from .s3_control import ControlPlane, Part
from .s3_data import CONTENT_TYPE, IDENTITY, DataPlane, Object
from .s3_options import PARTS_MAX
from .wire import Headers

ONE_REQUEST_MAX: Final = 5 * GiB  # CopyObject
PART_PREFERRED: Final = 512 * MiB
AT_ONCE: Final = 8
PART_DELAYS: Final = (0.2, 1.0, 3.0, 8.0)
"""Seconds after which a part that was refused is asked for again: beginning anew would copy all the others again."""
LONGEST_DELAY: Final = 15.0  # seconds, of a storage's own wish; who stops the copy waits as long

_WORTH_A_TRY: Final = frozenset({ErrorKind.TRANSIENT, ErrorKind.THROTTLED})
_META: Final = "x-amz-meta-"
_KEPT: Final = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
}
"""Headers, and what boto3 calls them."""


def about_copy(source: Object, identity: str) -> dict[str, str]:
    """What a copy is told about itself, as headers: all that its source was, but an identity of its own."""
    kept = {name: value for name, value in source.headers.items() if name in _KEPT or name.startswith(_META)}
    return {"content-type": CONTENT_TYPE, **kept, f"{_META}{IDENTITY}": identity}


def _arguments(about: Headers) -> dict[str, object]:
    """The same for boto3."""
    metadata = {name.removeprefix(_META): value for name, value in about.items() if name.startswith(_META)}
    return {**{_KEPT[name]: value for name, value in about.items() if name in _KEPT}, "Metadata": metadata}


@dataclass(frozen=True, slots=True)
class CopyJob:
    """One copy: from which object, as it was seen, to which key, called what in errors."""

    data: DataPlane
    control: ControlPlane
    found: Object
    key: str
    path: str
    about: Headers
    if_none_match: bool
    mark: Callable[[str], object] = lambda upload: None
    """Called with the upload before its first part: after a crash it has to be known whose it was."""

    def run(self, progress: Callable[[int], None]) -> None:
        """``AlreadyExists`` if a condition fails, be it on the source or on the destination."""
        if self.found.size > ONE_REQUEST_MAX:
            self.in_parts(progress)
        else:
            self._at_once()
            progress(self.found.size)

    def _at_once(self) -> None:
        """CopyObject: by far the fastest."""
        condition = {"if-none-match": "*"} if self.if_none_match else {}
        self.data.copy(self.found, self.key, self.path, {**self.about, **condition})
        reached("s3.copy:copied")

    def in_parts(self, progress: Callable[[int], None], part_size: int = PART_PREFERRED) -> None:
        """UploadPartCopy, several at once; nothing is left of it if it fails."""
        upload = self.control.create_copy_upload(self.key, self.path, _arguments(self.about))
        reached("s3.copy:unmarked")
        try:
            self.mark(upload)
            reached("s3.copy:marked")
            parts = self._copy_parts(upload, ranges(self.found.size, part_size), progress)
            self.control.complete(self.key, self.path, upload, parts, if_none_match=self.if_none_match, crc64nvme=None)
            reached("s3.copy:completed")
        except BaseException:
            self.control.abort(self.key, self.path, upload)
            raise

    def _copy_parts(self, upload: str, cut: list[range], progress: Callable[[int], None]) -> list[Part]:
        parts = []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3-copy") as threads:
            waiting = threads.map(partial(self._copy_part, upload), enumerate(cut, 1))
            try:
                for part in waiting:
                    parts.append(part)
                    progress(part.size)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        return parts

    def _copy_part(self, upload: str, numbered: tuple[int, range]) -> Part:
        for delay in PART_DELAYS:
            try:
                return self._copy_part_once(upload, numbered)
            except StorageError as error:
                if error.kind not in _WORTH_A_TRY:
                    raise
                time.sleep(_longer(delay, error))
        return self._copy_part_once(upload, numbered)

    def _copy_part_once(self, upload: str, numbered: tuple[int, range]) -> Part:
        number, span = numbered
        found = self.found
        part = self.control.copy_part(found.key, self.key, self.path, upload, number, etag=found.etag, span=span)
        reached("s3.copy:part")
        return part


def _longer(delay: float, error: StorageError) -> float:
    """Half as long again at most, so that parts that were refused together do not come back together."""
    wish = error.retry_after if isinstance(error, Throttled) else None
    wished = min(wish.total_seconds(), LONGEST_DELAY) if wish else 0.0
    return max(delay, wished) * random.uniform(1, 1.5)  # noqa: S311 nothing secret


def ranges(size: int, preferred: int = PART_PREFERRED) -> list[range]:
    """Cut ``size`` bytes into at most 9,999 ranges of one length: the last part is the mark."""
    length = max(preferred, -(-size // (PARTS_MAX - 1)))
    return [range(start, min(start + length, size)) for start in range(0, size, length)]
