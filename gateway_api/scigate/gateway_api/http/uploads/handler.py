"""Uploads in pieces: ``uploads.tus`` and ``uploads.ietf`` say what a request means, ``gateway.uploads`` does it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import StorageError
from tornado.httputil import HTTPHeaders

from ...problems import Problem
from ...uploads import ietf, tus
from ...uploads.appending import OffsetMismatch
from ...uploads.metadata import Wishes
from ...uploads.model import Append, Creation, UploadStatus
from ...uploads.writer import Preempted, Writer
from ..handler import Handler, dumps, idempotency_key
from ..receiving import BodyHandler
from ..route import Query, Route

if TYPE_CHECKING:
    from ...uploads.sessions import Uploads
    from ..server import Site

UPLOADS: Final = "/api/v1/uploads"
UPLOAD: Final = "/api/v1/uploads/{id}"
PATIENCE: Final = timedelta(seconds=20)  # how long a request waits for room before it is told to come again
LOOK_AGAIN: Final = 0.2  # seconds between two looks for room
RETRY_AFTER: Final = timedelta(seconds=5)
AHEAD: Final = 2 * MiB
"""Bytes unread in the socket of a sender that is faster than we are; one that the network holds up has hardly any."""
T = TypeVar("T")


class CreationQuery(Wishes, Query):
    """Where an upload is to go, for who cannot say it in Upload-Metadata."""


class ProtocolHandler(Handler):
    """What all requests of the two protocols have in common."""

    @property
    def uploads(self) -> Uploads:
        return self.site.gateway.uploads

    def set_default_headers(self) -> None:
        super().set_default_headers()
        if tus.speaks(self.request.headers):
            self.set_header("Tus-Resumable", tus.VERSION)

    async def prepare_body(self) -> None:
        self.check_protocol()
        await super().prepare_body()

    def check_protocol(self) -> None:
        """A tus client of another version is told ours."""
        if tus.speaks(self.request.headers):
            self.error_headers["Tus-Version"] = tus.VERSION
            tus.check_version(self.request.headers)
            del self.error_headers["Tus-Version"]

    def url_of(self, id: str) -> str:
        return self.site.url(UPLOAD, id=id)

    def add_headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    async def write_upload(self, id: str) -> None:
        """The upload as JSON."""
        upload = await self.run(self.uploads.show, self.actor, id)
        self.set_header("Content-Type", "application/json")
        self.finish(dumps(upload))


class DiscoveryHandler(ProtocolHandler):
    """What the gateway can do."""

    def check_protocol(self) -> None:
        """The version is what is asked for (tus 1.0, OPTIONS)."""

    async def options(self) -> None:
        self.raise_refusal()
        largest = self.uploads.largest
        self.add_headers({**tus.discovery(largest), **ietf.limits(largest)})
        self.set_header("Allow", ", ".join(self.site.allowed(self.request.path)))
        self.set_status(204)


class UploadHandler(ProtocolHandler):
    """One upload: how far it is, and its end."""

    async def head(self) -> None:
        self.raise_refusal()
        await self._tell_offset()
        if not tus.speaks(self.request.headers):
            self.set_status(204)

    async def get(self) -> None:
        """People and dashboards look without disturbing; who speaks the draft asks for an offset to go on at."""
        self.raise_refusal()
        if "Upload-Draft-Interop-Version" in self.request.headers:
            await self._tell_offset()
        await self.write_upload(self.params["id"])

    async def delete(self) -> None:
        self.raise_refusal()
        await self.run(self.uploads.terminate, self.actor, self.params["id"])
        self.set_status(204)

    async def _tell_offset(self) -> None:
        status = await self.run(self.uploads.status, self.actor, self.params["id"])
        if tus.speaks(self.request.headers):
            self.add_headers(tus.description(status, self.url_of))
        else:
            self.add_headers(ietf.description(status, datetime.now(UTC)))


class WriterHandler(ProtocolHandler, BodyHandler):
    """A body that is appended to an upload."""

    writer: Writer | None = None

    def initialize(self, site: Site, route: Route, params: dict[str, str]) -> None:
        super().initialize(site, route, params)
        self._turn = threading.Lock()
        self._untaken: list[bytes] = []  # on its way to the writer

    async def begin(self, id: str, append: Append) -> None:
        """From here on the body goes to the upload."""
        try:
            writer = await self.run(self.uploads.open, self.actor, id, append)
        except Problem as problem:
            raise self.as_problem(problem) from None
        loop = asyncio.get_running_loop()
        writer.on_preempt = lambda: _calmly(loop, self._preempted)
        self.writer = writer
        self.expect_body()

    async def take(self, buffers: list[bytes]) -> None:
        self._tell_pressure()
        self._untaken = buffers
        try:
            await self._wait_for_room(sum(map(len, buffers)))
            await self._in_turn(partial(self._write, buffers))
        except Preempted:
            self.close_connection()
        except (Problem, StorageError) as error:
            await self._break_off(error)

    async def end(self) -> UploadStatus | None:
        """The body is whole. None: an answer has been given, or nobody is there for one."""
        await self.all_taken()
        writer, self.writer = self.writer, None
        if writer is None:
            return None
        try:
            return await self._in_turn(writer.finish)
        except Preempted:
            self.close_connection()
            return None
        except Problem as problem:
            raise self.as_problem(problem) from None

    def on_connection_close(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            self.site.body_pool.submit(self._locked, partial(self._keep, writer, self.gathered()))
        super().on_connection_close()

    def as_problem(self, problem: Problem) -> Problem:
        """The same as the protocol of the request has it. A wrong offset tells the right one: nobody has to ask."""
        if isinstance(problem, OffsetMismatch):
            self.error_headers["Upload-Offset"] = str(problem.upload.offset)
        if tus.speaks(self.request.headers):
            return problem
        self.error_headers["Upload-Complete"] = "?0"
        return ietf.as_problem(problem)

    def progress(self, status: UploadStatus) -> dict[str, str]:
        if tus.speaks(self.request.headers):
            return tus.progress(status)
        return ietf.progress(status, datetime.now(UTC))

    def _look(self) -> None:
        self._tell_pressure()
        super()._look()

    def _tell_pressure(self) -> None:
        if self.writer is not None:
            self.writer.looked(self.unread() >= AHEAD)

    async def _wait_for_room(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while self.writer is not None and not self.writer.has_room(count):
            if time.monotonic() > deadline:
                raise _full(await self.run(self.uploads.hint_at_failed, self.actor))
            await asyncio.sleep(LOOK_AGAIN)

    async def _break_off(self, error: Problem | StorageError) -> None:
        """Keep what came, tell why no more is taken, and how much it was."""
        writer, self.writer = self.writer, None
        if writer is None:
            return
        status = await self._in_turn(writer.abort)
        self.error_headers["Upload-Offset"] = str(status.offset)
        self.refuse_rest(error)

    def _preempted(self) -> None:
        if self.writer is not None:  # else it is being finished, which the newer request waits for
            self.close_connection()

    def _write(self, buffers: list[bytes]) -> None:
        if (writer := self.writer) is not None:  # else the connection was cut, and they are kept with what came behind
            writer.write(buffers)
            self._untaken = []

    def _keep(self, writer: Writer, rest: list[bytes]) -> None:
        """The connection is cut: what came counts, in the order in which it came."""
        try:
            if buffers := self._untaken + rest:
                writer.write(buffers)
        except (Problem, StorageError, Preempted):
            pass  # what came before it still counts
        finally:
            writer.abort()

    async def _in_turn(self, function: Callable[[], T]) -> T:
        """Call it in a thread that waits for no storage; one after the other, also when the connection is cut."""
        return await self.run_in(self.site.body_pool, self._locked, function)

    def _locked(self, function: Callable[[], T]) -> T:
        with self._turn:
            return function()


class CreationHandler(WriterHandler):
    """``POST``: a new upload, perhaps with its first or all of its bytes."""

    query: CreationQuery
    status: UploadStatus

    async def prepare_body(self) -> None:
        self.check_protocol()
        self._key = idempotency_key(self.request.headers.get("Idempotency-Key"))
        creation = self._asked()
        self.status = await self.run(self.uploads.create, self.actor, creation.new)
        self.error_headers["Location"] = self.url_of(self.status.id)
        if creation.first is not None and not self.status.complete:
            await self._begin(creation.first)

    async def post(self) -> None:
        self.raise_refusal()
        if self._watch is not None and not await self._has_taken_body():
            return
        self.set_status(201)
        self.set_header("Location", self.url_of(self.status.id))
        self.add_headers(self.progress(self.status))
        if not tus.speaks(self.request.headers):
            await self.write_upload(self.status.id)

    def _asked(self) -> Creation:
        if tus.speaks(self.request.headers):
            return tus.creation(self.request.headers, self.query, self.size, self._key)
        if ietf.speaks(self.request.headers):
            return ietf.creation(self.request.headers, self.query, self.size, self._key)
        raise Problem(
            400, "unknown-protocol", "It is not said by which protocol the upload is to be.",
            next_step="Send 'Tus-Resumable: 1.0.0' (tus) or 'Upload-Complete: ?1' (HTTP); or PUT to /api/v1/files/….",
        )  # fmt: skip

    async def _begin(self, first: Append) -> None:
        try:
            await self.begin(self.status.id, first)
        except (Problem, StorageError):
            await self._forget()
            raise
        if ietf.wants_interim(self.request.headers) and self.request.version == "HTTP/1.1":
            await self._announce()

    async def _has_taken_body(self) -> bool:
        """False: an answer has been given, or nobody is there for one."""
        try:
            status = await self.end()
        except (Problem, StorageError) as error:
            if isinstance(error, Problem) and error.code == "checksum-mismatch":  # not one byte of it was taken
                await self._forget()
            raise
        self.status = status or self.status
        return status is not None

    async def _forget(self) -> None:
        """A refused request leaves nothing behind; with a key, the upload may be one from before."""
        if self._key is not None:
            return
        del self.error_headers["Location"]
        await self.run(self.uploads.terminate, self.actor, self.status.id)

    async def _announce(self) -> None:
        """104 (Upload Resumption Supported), so that the sender can go on even if this request is cut off."""
        headers = HTTPHeaders({"Location": self.url_of(self.status.id), "Upload-Draft-Interop-Version": ietf.INTEROP})
        headers.update(ietf.limits(self.status.largest, self.status.expires, datetime.now(UTC)))
        lines = [f"{name}: {value}\r\n" for name, value in headers.get_all()]
        text = f"HTTP/1.1 104 Upload Resumption Supported\r\n{''.join(lines)}\r\n"
        await self.request.connection.stream.write(text.encode("ascii"))  # type: ignore[union-attr]


class AppendHandler(WriterHandler):
    """``PATCH``: more bytes."""

    async def prepare_body(self) -> None:
        if ietf.speaks(self.request.headers) and not tus.speaks(self.request.headers):
            append = ietf.append(self.request.headers, self.size)
        else:
            self._check_is_tus()
            append = tus.append(self.request.headers, self.size)
        await self.begin(self.params["id"], append)

    async def patch(self) -> None:
        self.raise_refusal()
        status = await self.end()
        if status is None:
            return
        self.add_headers(self.progress(status))
        if status.complete and not tus.speaks(self.request.headers):
            await self.write_upload(status.id)
        else:
            self.set_status(204)

    def _check_is_tus(self) -> None:
        self.check_protocol()
        self.error_headers["Tus-Version"] = tus.VERSION
        tus.check_version(self.request.headers)
        del self.error_headers["Tus-Version"]


def _calmly(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """From another thread; a loop that has ended has no connection left to close."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def _full(hint: str) -> Problem:
    return Problem(
        503, "staging-full", "The room for uploads is full now; what came is kept.",
        next_step=f"Go on a little later: ask for the offset (HEAD) and send the rest. {hint}",
        retriable=True, retry_after=RETRY_AFTER,
    )  # fmt: skip
