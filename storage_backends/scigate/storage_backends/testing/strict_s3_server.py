"""The HTTP side of the strict layer: reads requests, asks the rules, passes on what is right."""

from __future__ import annotations

import http.client
import re
import socket
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

from ..backend import KiB
from ..errors import Unreachable
from ..s3_xml import parse
from .strict_s3_below import Below
from .strict_s3_body import CHECKSUM, check_md5, check_sums, opened
from .strict_s3_request import DECLARATION, Asked, Refused
from .strict_s3_rules import check_head, check_write, copy_source, forwarded, keys_wanted, wanted_range
from .strict_s3_signature import check_signature
from .strict_s3_weather import Mood

if TYPE_CHECKING:
    from .strict_s3 import StrictS3

PIECE: Final = 256 * KiB
DRAINED: Final = 64 * KiB  # of a refused request; a longer body is not read, and the connection is closed
IDLE: Final = 60  # seconds
LINGERING: Final = 2.0  # seconds that a client has to read why, before its connection goes
_HOP: Final = frozenset({"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"})
_LOCKED: Final = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"})
_SPAN: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_OOPS: Final = "We encountered an internal error. Please try again."


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it was answered; ``code`` is why it was refused."""

    operation: str
    key: str
    status: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server below said."""

    status: int
    headers: dict[str, str]
    body: bytes

    def text(self, name: str) -> str:
        """The text of the first element of this name, or nothing."""
        with suppress(Unreachable):
            found = (item for item in parse(self.body).iter() if item.tag.rpartition("}")[2] == name)
            return next((item.text or "" for item in found), "")
        return ""

    def count(self, *names: str) -> int:
        with suppress(Unreachable):
            return sum(item.tag.rpartition("}")[2] in names for item in parse(self.body))
        return 0


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    layer: StrictS3

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Gone(Exception):
    """The client went away."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one to the server below."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE
    server: Listening

    def setup(self) -> None:
        super().setup()
        self._layer = self.server.layer
        self._below = Below(self._layer.below)

    def finish(self) -> None:
        self._below.close()
        with suppress(OSError):
            super().finish()

    def handle_expect_100(self) -> bool:
        """``100 Continue`` is only said when the head has been found right."""
        return True

    def log_message(self, format: str, *args: object) -> None:
        """What was seen is in ``StrictS3.seen``."""

    def handle_any(self) -> None:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known},{value}"
        asked = Asked.of(self.command, self.path, headers)
        self._read = self._early = False
        try:
            self._serve(asked)
        except Refused as refusal:
            self._refuse(asked, refusal)
        except (OSError, http.client.HTTPException, _Gone):
            self.close_connection = True
        if self._layer.weather.closes():
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

    def _serve(self, asked: Asked) -> None:
        layer, operation = self._layer, asked.operation
        mood = layer.weather.mood(operation, conditional=_is_conditional(asked))
        if mood is Mood.SLOW_DOWN:
            raise Refused("SlowDown", "Please reduce your request rate.")
        keys = {layer.server.access_key: layer.server.secret_key}
        proof = check_signature(asked, keys, layer.server.region, layer.now())
        check_head(asked)
        if "uploadId" in asked.query:
            layer.uploads.find(asked)
        if operation in {"UploadPart", "UploadPartCopy"}:
            layer.uploads.check_part(asked)
        data, trailers = opened(asked, proof, self._body(asked))
        check_md5(asked, data)
        if operation in {"PutObject", "UploadPart", "DeleteObjects"}:
            check_sums(asked, data, trailers)
        lock = layer.locks[hash(asked.raw_path) % len(layer.locks)]
        with lock if operation in _LOCKED else nullcontext():
            self._act(asked, data, forwarded(asked.headers, trailers), mood)

    # --- the body of a request -----------------------------------------------------------------------------------

    def _body(self, asked: Asked) -> bytes:
        if asked.headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if asked.has("transfer-encoding"):
            body = self._chunks()
        else:
            body = self._exactly(int(asked.headers.get("content-length") or 0))
        self._read = True
        return body

    def _exactly(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise _Gone
        return data

    def _chunks(self) -> bytes:
        """RFC 9112 section 7.1."""
        pieces = []
        while size := int(self.rfile.readline(64).partition(b";")[0].strip(), 16):
            pieces.append(self._exactly(size + 2)[:-2])
        while self.rfile.readline(8 * KiB).strip():
            pass
        return b"".join(pieces)

    # --- acting --------------------------------------------------------------------------------------------------

    def _act(self, asked: Asked, data: bytes, headers: dict[str, str], mood: Mood) -> None:
        """Check what has to be looked up, then do it, as the mood is."""
        size = self._look_up(asked, data)
        if mood is Mood.CONFLICT:
            self._conflict(asked)
        if mood is Mood.ERROR_IN_200 or (asked.operation == "CompleteMultipartUpload" and mood is Mood.FINE):
            self._begin_early()
        if mood is Mood.ERROR_IN_200:
            raise Refused("InternalError", _OOPS)
        if asked.operation == "GetObject":
            self._get(asked, headers)
            return
        answer = self._ask(asked.method, asked.raw_path, asked.raw_query, headers, data)
        if answer.status < 300:
            self._note(asked, answer, data, size)
            if mood is Mood.LOST:
                raise Refused("InternalError", _OOPS)
        self._answer(asked, answer)

    def _look_up(self, asked: Asked, data: bytes) -> int:
        """The number of bytes that are stored. ``Refused`` if what is there forbids it."""
        operation = asked.operation
        if operation in _LOCKED and _is_conditional(asked):
            found = self._ask("HEAD", asked.raw_path, "", {})
            check_write(asked, found.headers.get("etag", "") if found.status == 200 else None)
        if operation == "CompleteMultipartUpload":
            self._layer.uploads.check_complete(asked, data)
        if operation == "DeleteObjects" and not any(
            name == "content-md5" or name.startswith(CHECKSUM) for name in asked.headers
        ):
            raise Refused("InvalidRequest", "Missing required header for this request: Content-MD5")
        if operation not in {"CopyObject", "UploadPartCopy"}:
            return len(data)
        source = copy_source(asked)
        found = self._ask("HEAD", source.raw_path, "", {})
        if found.status != 200:
            raise Refused("NoSuchKey", "The specified key does not exist.")
        size = int(found.headers["content-length"])
        return source.check(size, found.headers.get("etag", ""), part=operation == "UploadPartCopy")

    def _conflict(self, asked: Asked) -> None:
        if asked.operation == "CompleteMultipartUpload":
            self._ask("DELETE", asked.raw_path, asked.raw_query, {})
            self._layer.uploads.ended(asked.query["uploadId"])
        text = "The conditional request cannot succeed due to a conflicting operation against this resource."
        raise Refused("ConditionalRequestConflict", text)

    def _note(self, asked: Asked, answer: Answer, data: bytes, size: int) -> None:
        """Remember what is stored now, and look whether the server below did what it was asked."""
        uploads, operation = self._layer.uploads, asked.operation
        if operation == "CreateMultipartUpload":
            uploads.begun(asked, answer.text("UploadId"))
        elif operation == "UploadPart":
            uploads.stored(asked, data, size, answer.headers.get("etag", ""))
        elif operation == "UploadPartCopy":
            uploads.stored(asked, None, size, answer.text("ETag"))
        elif operation == "AbortMultipartUpload" or (operation == "CompleteMultipartUpload" and answer.text("ETag")):
            uploads.ended(asked.query["uploadId"])
        elif operation == "ListObjects" and answer.count("Contents", "CommonPrefixes") > keys_wanted(asked):
            self._lie(f"a listing of more than {keys_wanted(asked)} keys")

    def _lie(self, what: str) -> None:
        self._layer.lies.append(what)
        raise Refused("InternalError", _OOPS)

    def _ask(self, method: str, path: str, query: str, headers: dict[str, str], data: bytes = b"") -> Answer:
        response = self._below.ask(method, path, query, headers, data)
        return Answer(response.status, _lower(response), response.read())

    # --- reading -------------------------------------------------------------------------------------------------

    def _get(self, asked: Asked, headers: dict[str, str]) -> None:
        """Exactly the range that S3 gives, whatever the server below makes of it."""
        size = self._check_read(asked)
        wanted = wanted_range(asked.headers["range"], size) if asked.has("range") else None
        sent = {name: value for name, value in headers.items() if name != "range"}
        if wanted is not None:
            sent["range"] = f"bytes={wanted.start}-{wanted.stop - 1}"
        response = self._below.ask("GET", asked.raw_path, asked.raw_query, sent)
        if response.status >= 300:
            self._answer(asked, Answer(response.status, _lower(response), response.read()))
            return
        given = _SPAN.fullmatch(response.headers.get("content-range", ""))
        got = range(int(given[1]), int(given[2]) + 1) if given else range(size)
        asked_for = wanted or range(size)
        if asked_for.start < got.start or asked_for.stop > got.stop:
            self._below.close()
            self._lie(f"{got} where {asked_for} was asked for")
        self._stream(asked, response, wanted, asked_for.start - got.start, size)

    def _check_read(self, asked: Asked) -> int:
        """The size of the object. ``Refused`` if it is not there or a condition does not hold."""
        found = self._ask("HEAD", asked.raw_path, "", {})
        if found.status != 200:
            raise Refused("NoSuchKey", "The specified key does not exist.")
        etag = found.headers.get("etag", "").strip('"')
        if asked.headers.get("if-match", etag).strip('"') not in {etag, "*"}:
            text = "At least one of the pre-conditions you specified did not hold"
            raise Refused("PreconditionFailed", text, Condition="If-Match")
        return int(found.headers["content-length"])

    def _stream(
        self, asked: Asked, response: http.client.HTTPResponse, wanted: range | None, skipped: int, size: int
    ) -> None:
        headers = {name: value for name, value in _lower(response).items() if name != "content-range"}
        length = size if wanted is None else len(wanted)
        if wanted is not None:
            headers["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        self._head(asked, 200 if wanted is None else 206, headers, length)
        response.read(skipped)
        while length and (piece := response.read(min(PIECE, length))):
            self.wfile.write(piece)
            length -= len(piece)
        if length or response.read(1):
            self._below.close()
        if length:
            raise _Gone

    # --- answering -----------------------------------------------------------------------------------------------

    def _head(self, asked: Asked, status: int, headers: dict[str, str], length: int | None, code: str = "") -> None:
        self._layer.seen.append(Seen(asked.operation, asked.key.decode("utf-8", "replace"), status, code))
        self.send_response_only(status)
        fields = {
            "Server": "AmazonS3",
            "Date": self.date_time_string(self._layer.now().timestamp()),
            "x-amz-request-id": "STRICT",
        }
        fields |= {name: value for name, value in headers.items() if name not in _HOP}
        if length is not None and status != 204:
            fields["Content-Length"] = str(length)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, asked: Asked, answer: Answer) -> None:
        code = answer.text("Code") if answer.status >= 300 else ""
        if self._early:
            self._end_early(asked, answer.body, code)
            return
        length = len(answer.body)
        if self.command == "HEAD":
            length = int(answer.headers.get("content-length", 0))
        headers = answer.headers
        if self._layer.weather.bare_xml and "xml" in headers.get("content-type", ""):
            headers = {name: value for name, value in headers.items() if name != "content-type"}
        self._head(asked, answer.status, headers, length, code)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _refuse(self, asked: Asked, refusal: Refused) -> None:
        with suppress(OSError, _Gone):
            if self._early:
                self._end_early(asked, refusal.document(), refusal.code)
                return
            keep = self._drain(asked)
            headers = {} if self._layer.weather.bare_xml else {"Content-Type": "application/xml"}
            wish = self._layer.weather.wish() if refusal.code == "SlowDown" else None
            headers |= {"Retry-After": wish} if wish is not None else {}
            document = b"" if self.command == "HEAD" else refusal.document()
            headers |= {} if keep else {"Connection": "close"}
            self._head(asked, refusal.status, headers, len(document), refusal.code)
            self.wfile.write(document)
            if not keep:
                self._linger()
            return
        self.close_connection = True

    def _drain(self, asked: Asked) -> bool:
        """Whether the connection can go on: a short body has been read; a long one never is."""
        if self._read or asked.method in {"GET", "HEAD"}:
            return True
        waits = asked.has("expect") or asked.has("transfer-encoding")
        length = asked.headers.get("content-length", "0")
        if waits or not length.isdigit() or int(length) > DRAINED:
            return False
        self._exactly(int(length))
        return True

    def _linger(self) -> None:
        """Let the client read the answer: closing over unread data would reset the connection and take it away."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGERING)
        with suppress(TimeoutError):
            while self.connection.recv(PIECE):
                pass

    def _begin_early(self) -> None:
        """S3 says 200 and keeps the connection awake with white space while it still works on it."""
        self._early = True
        self.send_response_only(200)
        for name, value in (("Content-Type", "application/xml"), ("Transfer-Encoding", "chunked")):
            self.send_header(name, value)
        self.end_headers()
        self._chunk(DECLARATION.encode())
        self._chunk(b"   \n")

    def _end_early(self, asked: Asked, document: bytes, code: str) -> None:
        self._layer.seen.append(Seen(asked.operation, asked.key.decode("utf-8", "replace"), 200, code))
        self._chunk(document[document.find(b"?>") + 2 :] if document.startswith(b"<?") else document)
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _is_conditional(asked: Asked) -> bool:
    return asked.has("if-none-match") or asked.has("if-match")


def _lower(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
