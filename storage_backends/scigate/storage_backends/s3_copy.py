"""Copies inside one S3 storage: no byte passes through us."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .backend import GiB, MiB
from .crash_points import reached
from .s3_control import ControlPlane, Part
from .s3_data import CONTENT_TYPE, IDENTITY, Object
from .s3_options import PARTS_MAX

ONE_REQUEST_MAX: Final = 5 * GiB  # CopyObject
PART_PREFERRED: Final = 512 * MiB
AT_ONCE: Final = 8

_META: Final = "x-amz-meta-"
_KEPT: Final = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
}


def about_copy(source: Object, identity: str) -> dict[str, Any]:
    """What a copy is told about itself: all that its source was, but an identity of its own."""
    headers = source.headers
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    kept = {argument: headers[name] for name, argument in _KEPT.items() if name in headers}
    content_type = headers.get("content-type", CONTENT_TYPE)
    return {**kept, "ContentType": content_type, "Metadata": {**metadata, IDENTITY: identity}}


@dataclass(frozen=True, slots=True)
class CopyJob:
    """One copy: from which object, as it was seen, to which key, called what in errors."""

    control: ControlPlane
    source: str
    found: Object
    key: str
    path: str
    about: dict[str, Any]
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
        self.control.copy(
            self.source,
            self.key,
            self.path,
            etag=self.found.etag,
            about=self.about,
            if_none_match=self.if_none_match,
        )
        reached("s3.copy:copied")

    def in_parts(self, progress: Callable[[int], None], part_size: int = PART_PREFERRED) -> None:
        """UploadPartCopy, several at once; nothing is left of it if it fails."""
        upload = self.control.create_copy_upload(self.key, self.path, self.about)
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
        number, span = numbered
        part = self.control.copy_part(self.source, self.key, self.path, upload, number, etag=self.found.etag, span=span)
        reached("s3.copy:part")
        return part


def ranges(size: int, preferred: int = PART_PREFERRED) -> list[range]:
    """Cut ``size`` bytes into at most 9,999 ranges of one length: the last part is the mark."""
    length = max(preferred, -(-size // (PARTS_MAX - 1)))
    return [range(start, min(start + length, size)) for start in range(0, size, length)]
