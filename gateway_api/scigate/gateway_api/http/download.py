"""``GET`` and ``HEAD`` of files and folders: listings as JSON, files and archives as streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from scigate.storage_backends.backend import Buffer, Entry

from ..downloads.digests import preferences
from ..downloads.downloads import Download
from ..problems import Problem
from ..resources import ArchiveKind
from ..uploads.digests import representation
from .conditions import Selection, etag, last_modified, select
from .endpoints import FileQuery, list_folder, look_at
from .route import Call
from .sending import SendingHandler, close

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\/\u202a-\u202e\u2066-\u2069]")
"""What must not be in the name of a file that a browser saves: control characters, separators, and what turns the
direction of reading around, so that ``exe.jpg`` is read where ``gpj.exe`` is meant."""


class FileHandler(SendingHandler):
    """A file as bytes; a folder as JSON or as an archive; anything with ``?meta=1`` as JSON."""

    query: FileQuery

    async def get(self) -> None:
        self.raise_refusal()
        path = self.params["path"]
        if self.query.archive:
            return await self._archive(self.query.archive)
        if self.query.meta or path == "" or path.endswith("/"):
            return await self._describe(look_at if self.query.meta else list_folder)
        return await self._download(await self.run(self.site.gateway.downloads.file, self.actor, *self._place()))

    head = get

    def _place(self) -> tuple[str, str]:
        return self.params["storage"], self.params["path"]

    async def _describe(self, endpoint: object) -> None:
        call = Call(self.actor, self.params, self.query, None, None, self.site.url)
        self.write_answer(await self.run(endpoint, self.site.gateway, call))  # type: ignore[arg-type]

    async def _archive(self, kind: ArchiveKind) -> None:
        if self.request.version == "HTTP/1.0":
            raise _needs_chunks()
        pack = self.site.gateway.downloads.archive
        archive = await self.run(pack, self.actor, *self._place(), kind, self.query.after)
        first = await self.first_piece(archive)
        self.set_header("Content-Type", archive.media_type)
        self.set_header("Content-Disposition", disposition(archive.file_name))
        self.set_header("Accept-Ranges", "none")
        if self.request.method == "GET":
            await self.send(archive, first)
        else:
            await self.run(close, archive)
            self.finish()

    async def _download(self, file: Download) -> None:
        wants_bytes = self.request.method == "GET"
        selection = select(self.request.headers, file.entry, ranges=wants_bytes)
        if selection.status in (412, 416):
            raise self._refusal(selection, file.entry)
        if file.link is not None and self._may_go_elsewhere(selection):
            self._redirect(await self.run(file.link))
        else:
            await self._send_file(file, selection)

    def _may_go_elsewhere(self, selection: Selection) -> bool:
        """A range of another version is answered here: not every storage knows If-Range."""
        joins = "If-Range" not in self.request.headers or selection.status == 206
        return self.request.method == "GET" and self.query.redirect and selection.status != 304 and joins

    async def _send_file(self, file: Download, selection: Selection) -> None:
        wanted = preferences(self.request.headers.get("Want-Repr-Digest"))
        digests = await self.run(file.digests, wanted) if wanted and selection.status != 304 else file.digests({})
        buffers: Iterator[Buffer] = iter(())
        first = b""
        if selection.length and self.request.method == "GET":
            buffers = await self.run(file.read, selection.offset, selection.length)
            first = await self.first_piece(buffers)
        self._describe_file(selection, file.entry, digests)
        await self.send(buffers, first)

    def _redirect(self, url: str) -> None:
        """To the storage itself. The URL is a key to the file: it is in no log and in no cache."""
        self.set_status(307)
        self.set_header("Location", url)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish()

    def _describe_file(self, selection: Selection, entry: Entry, digests: Mapping[str, str]) -> None:
        self.set_status(selection.status)
        for name, value in (("ETag", etag(entry)), ("Last-Modified", last_modified(entry))):
            if value is not None:
                self.set_header(name, value)
        if selection.status == 304:
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Content-Length", str(selection.length))
        self.set_header("Content-Disposition", disposition(entry.path))
        if selection.status == 206:
            last = selection.offset + selection.length - 1
            self.set_header("Content-Range", f"bytes {selection.offset}-{last}/{entry.size}")
        if digests:
            self.set_header("Repr-Digest", representation(digests))

    def _refusal(self, selection: Selection, entry: Entry) -> Problem:
        if selection.status == 412:
            return Problem(412, "precondition-failed", "The file is not the version that was asked for.",
                           next_step="Look at it again and decide anew.")  # fmt: skip
        self.error_headers["Content-Range"] = f"bytes */{entry.size}"
        return Problem(416, "range-not-satisfiable", f"The file has only {entry.size} bytes.",
                       next_step="Ask for a range within the file.")  # fmt: skip


def _needs_chunks() -> Problem:
    return Problem(505, "http-version", "An archive is sent over HTTP/1.1 only.",
                   detail="Its length is not known before its end, which HTTP/1.0 cannot tell from a cut connection.",
                   next_step="Use a client or proxy that speaks HTTP/1.1.")  # fmt: skip


def disposition(path: str) -> str:
    """A ``Content-Disposition`` that no file name can break out of (RFC 6266, RFC 8187)."""
    name = path.rsplit("/", 1)[-1].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    safe = _UNSAFE.sub("_", name)
    plain = "".join(c if c.isascii() and c not in '"%' else "_" for c in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
