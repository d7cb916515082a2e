"""A client of S3 on plain sockets that does exactly what it is told, wrong things too. It shares no code with the
product: what it signs is signed here."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from scigate.storage_backends.testing.servers import S3Server

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_CODE: Final = re.compile(rb"<Code>([^<]*)</Code>")


def mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the error document, wherever it stands; the status's own where a document cannot be."""
        found = _CODE.search(self.body)
        return found[1].decode() if found else ""

    def text(self, name: str) -> str:
        found = re.search(rf"<{name}>([^<]*)</{name}>".encode(), self.body)
        return found[1].decode().replace("&quot;", '"').replace("&#34;", '"') if found else ""


@dataclass
class Client:
    """Requests to the bucket of a server, below names of its own."""

    server: S3Server
    prefix: str = field(default_factory=lambda: f"asked-{secrets.token_hex(6)}/")

    @property
    def host(self) -> str:
        return self.server.endpoint.partition("//")[2]

    def path(self, name: str | None) -> str:
        at = f"/{self.server.bucket}"
        return at if name is None else f"{at}/{quote(self.prefix + name, safe='/~')}"

    def ask(
        self, method: str, name: str | None, query: Mapping[str, str] | None = None, body: bytes = b"",
        headers: Mapping[str, str] | None = None, *, after: Mapping[str, str | None] | None = None,
        length: bool = True, **signing: Any,
    ) -> Reply:  # fmt: skip
        """Ask, signed. ``after``: headers that are changed after that, or taken away (None)."""
        path, asked = self.path(name), encoded(query or {})
        signed = self.signed(method, path, asked, dict(headers or {}), **signing)
        for header, value in (after or {}).items():
            signed.pop(header, None)
            signed |= {} if value is None else {header: value}
        if length and method in {"PUT", "POST"}:
            signed.setdefault("content-length", str(len(body)))
        return self.send(method, f"{path}?{asked}" if asked else path, signed, body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Ask as it stands."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for header, value in headers.items():
                connection.putheader(header, value)
            connection.endheaders()
            with suppress(BrokenPipeError, ConnectionResetError):  # it has answered already
                connection.send(body)
            if int(headers.get("content-length", "0")) > len(body) and connection.sock:
                with suppress(OSError):  # it has ended the connection already
                    connection.sock.shutdown(socket.SHUT_WR)  # there is no more; who waits for it need not
            answer = connection.getresponse()
            return Reply(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def signed(
        self, method: str, path: str, query: str, headers: dict[str, str], *, payload: str | None = UNSIGNED,
        ahead: timedelta = timedelta(0), secret: str | None = None, key_id: str | None = None,
        region: str | None = None,
    ) -> dict[str, str]:  # fmt: skip
        """The headers with a signature: "Signature Version 4 for the Amazon S3 REST API"."""
        date = f"{datetime.now(UTC) + ahead:%Y%m%dT%H%M%SZ}"
        headers = {"host": self.host, "x-amz-date": date, **headers}
        headers |= {} if payload is None else {"x-amz-content-sha256": payload}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload or UNSIGNED}"
        scope = f"{date[:8]}/{region or self.server.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        self.key = key_for(secret or self.server.secret_key, scope)
        self.date, self.scope, self.signature = date, scope, mac(self.key, to_sign).hex()
        credential = f"{key_id or self.server.access_key}/{scope}"
        told = f"Credential={credential}, SignedHeaders={names}, Signature={self.signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {told}"}

    # --- right requests on which wrong ones build ----------------------------------------------------------------

    def put(self, name: str, body: bytes = b"data", headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
        return self.ask("PUT", name, body=body, headers=headers, **more)

    def begin(self, name: str, headers: Mapping[str, str] | None = None) -> str:
        """A new upload."""
        reply = self.ask("POST", name, {"uploads": ""}, headers=headers)
        assert reply.status == 200, reply
        return reply.text("UploadId")

    def part(self, name: str, upload: str, number: object, body: bytes = b"part", **more: Any) -> Reply:
        return self.ask("PUT", name, {"partNumber": str(number), "uploadId": upload}, body, **more)

    def complete(
        self, name: str, upload: str, parts: list[tuple[int, str]], headers: Mapping[str, str] | None = None,
        sums: Mapping[int, str] | None = None,
    ) -> Reply:  # fmt: skip
        """``sums``: further elements of a part, by its number."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{(sums or {}).get(number, '')}</Part>"
            for number, etag in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        return self.ask("POST", name, {"uploadId": upload}, body, headers)

    def stored(self, name: str, upload: str, sizes: Mapping[int, int], **more: Any) -> list[tuple[int, str]]:
        """Parts of these sizes, as they are named to complete."""
        return [(n, self.part(name, upload, n, b"x" * size, **more).headers["etag"]) for n, size in sizes.items()]


def key_for(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = mac(key, word)
    return key


def encoded(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def chunked(client: Client, pieces: list[bytes], trailers: Mapping[str, str], *, spoil: int | None = None) -> bytes:
    """A body in signed chunks that goes with the request that ``client`` has signed last; chunk ``spoil`` is forged."""
    before, out = client.signature, b""
    for number, piece in enumerate([*pieces, b""]):
        about = f"{client.date}\n{client.scope}\n{before}\n{hashlib.sha256(b'').hexdigest()}\n"
        before = mac(client.key, f"AWS4-HMAC-SHA256-PAYLOAD\n{about}{hashlib.sha256(piece).hexdigest()}").hex()
        told = "0" * 64 if number == spoil else before
        out += b"%x;chunk-signature=%s\r\n" % (len(piece), told.encode()) + (piece + b"\r\n" if piece else b"")
    lines = "".join(f"{name}:{value}\n" for name, value in trailers.items())
    if trailers:
        about = f"{client.date}\n{client.scope}\n{before}\n{hashlib.sha256(lines.encode()).hexdigest()}"
        signature = mac(client.key, f"AWS4-HMAC-SHA256-TRAILER\n{about}").hex()
        out += lines.replace("\n", "\r\n").encode() + f"x-amz-trailer-signature:{signature}\r\n".encode()
    return out + b"\r\n"


def unsigned_chunks(pieces: list[bytes], trailers: Mapping[str, str]) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    lines = "".join(f"{name}:{value}\r\n" for name, value in trailers.items())
    return body + b"0\r\n" + lines.encode() + b"\r\n"
