"""The data plane of S3: signed requests on persistent connections, for everything that moves bytes or comes often."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .backend import Buffer, Digests, Entry, KiB, MiB
from .dates import http_date
from .digests import ALGORITHMS, digest, start
from .errors import DigestMismatch, NotFound, SourceChanged, StorageError, Truncated, Unreachable
from .s3_clock import ServerClock
from .s3_errors import code_of, error_of, refused_before_it_began
from .s3_options import S3Options
from .s3_sign import Signer, encode_path, encode_query
from .s3_xml import PAGE_MAX, Page, copied_etag, error_code, listing
from .wire import Body, Headers, Pool, Response, Target

IDENTITY: Final = "scigate-id"
CONTENT_TYPE: Final = "application/octet-stream"
ERROR_MAX: Final = 64 * KiB
QUICK_MAX: Final = 64 * MiB  # what a server copies well within the time that a single wait for it may take
_CHECKSUMS: Final = {
    "x-amz-checksum-crc64nvme": "crc64nvme",
    "x-amz-checksum-sha256": "sha-256",
    "x-amz-checksum-crc32c": "crc32c",
}
_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_WHOLE: Final = re.compile(r"bytes \*/(\d{1,19})")


@dataclass(frozen=True, slots=True)
class Object:
    """What the headers of an object say."""

    key: str
    headers: Headers
    size: int
    etag: str

    @property
    def identity(self) -> str | None:
        return self.headers.get(f"x-amz-meta-{IDENTITY}")

    def entry(self, path: str) -> Entry:
        return Entry(
            path,
            size=self.size,
            modified=http_date(self.headers.get("last-modified")),
            version=self.etag or None,
            digests=vouched(self.headers),
            identity=self.identity,
        )


class DataPlane:
    """Requests on the keys of one bucket. Thread-safe. Errors name ``path``, the caller's name of the key."""

    def __init__(self, options: S3Options, pool: Pool, clock: ServerClock, *, patient: Pool) -> None:
        """``patient`` waits for a server that works for minutes before it answers."""
        self._pool, self._patient = pool, patient
        self._bucket = options.bucket
        self._base = options.base
        self._host = self._base.host_header
        self._bucket_path = self._base.path.rstrip("/") or "/"
        self._clock = clock
        self._signer = Signer(options.credential, options.region, clock)

    def head(self, key: str, path: str) -> Object:
        """``NotFound`` if there is no such object."""
        answer = self._ask("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
        if answer.status != 200:
            raise self._why(answer, key, path)
        return _object(key, answer.headers, path)

    def whole(self, key: str, path: str, version: str | None, most: int) -> tuple[Object, str]:
        """An object and the CRC-64/NVME of its bytes: one request for both. Above ``most`` bytes it is not read."""
        headers = {"x-amz-checksum-mode": "ENABLED"} | ({"if-match": f'"{version}"'} if version else {})
        with self._ask("GET", key, headers=headers) as answer:
            if answer.status != 200:
                raise _unreadable(self._refusal(answer, path), path)
            _check_version(answer, version, path)
            found = _object(key, answer.headers, path)
            if found.size > most:
                return found, ""
            return found, digest("crc64nvme", _checked(iter(answer), answer, path))

    def put(self, key: str, path: str, data: Buffer, headers: Headers) -> Headers:
        """Store an object in one request; gives the headers of the answer."""
        answer = self._ask("PUT", key, headers={"content-type": CONTENT_TYPE, **headers}, body=data)
        with refused_before_it_began(sent_once=not answer.repeated):
            return self._done(answer, path)

    def upload_part(self, key: str, path: str, upload: str, number: int, *, body: Body, length: int) -> str:
        """Store a part of exactly ``length`` bytes; gives its ETag. ``number`` counts from 1."""
        query = {"partNumber": str(number), "uploadId": upload}
        answer = self._done(self._ask("PUT", key, query=query, body=body, length=length), path)
        if not (etag := answer.get("etag", "").strip('"')):
            raise Unreachable("the storage took a block without giving it an ETag", path=path)
        return etag

    def copy(self, source: Object, key: str, path: str, headers: Headers) -> None:
        """Copy an object of at most 5 GiB inside the bucket, if it still has this ETag. ``headers`` are all that the
        copy is told about itself: it takes none over."""
        about = {
            "x-amz-copy-source": encode_path(f"{self._bucket}/{source.key}"),
            "x-amz-copy-source-if-match": f'"{source.etag}"',
            "x-amz-metadata-directive": "REPLACE",
            **headers,
        }
        pool = self._pool if source.size <= QUICK_MAX else self._patient
        answer = self._ask("PUT", key, headers=about, body=b"", pool=pool)
        with refused_before_it_began(sent_once=not answer.repeated):
            document = self._document(answer, path)
        if not copied_etag(document):
            raise Unreachable("the storage did not say that it has made the copy", path=path)

    def delete(self, key: str, path: str) -> None:
        """Remove an object; there being none is fine."""
        self._done(self._ask("DELETE", key), path)

    def page(self, prefix: str, *, after: str, token: str | None, delimiter: str = "", most: int = 1000) -> Page:
        """A page of the keys that begin with ``prefix``."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url", "max-keys": str(most)}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"continuation-token": token} if token else {"start-after": after} if after else {}
        answer = self._ask("GET", "", query=query)
        if answer.status != 200:
            raise self._refusal(answer, None)
        return listing(answer.read_all(PAGE_MAX))

    def get(self, key: str, path: str, offset: int, length: int | None, version: str | None) -> Iterator[Buffer]:
        """Exactly ``length`` bytes from ``offset``; None is to the end."""
        ranged = offset > 0 or length is not None
        headers = {"x-amz-checksum-mode": "ENABLED"} | ({"if-match": f'"{version}"'} if version else {})
        if ranged:
            headers["range"] = f"bytes={offset}-" + ("" if length is None else str(offset + length - 1))
        with self._ask("GET", key, headers=headers) as answer:
            if answer.status == 416 and length is None and self._ends_at(answer, key, path, offset):
                return
            if answer.status not in {200, 206}:
                raise _unreadable(self._refusal(answer, path), path)
            _check_version(answer, version, path)
            yield from _checked(self._body(answer, path, offset, length), answer, path)

    def _ends_at(self, answer: Response, key: str, path: str, offset: int) -> bool:
        """Whether a refused range began exactly at the end of the object; not every server says so by itself."""
        whole = _WHOLE.fullmatch(answer.headers.get("content-range", ""))
        return (int(whole[1]) if whole else self.head(key, path).size) == offset

    def _body(self, answer: Response, path: str, offset: int, length: int | None) -> Iterator[Buffer]:
        if answer.status == 206 or "content-range" in answer.headers:  # some servers say 200 and send the range
            return _partial(answer, path, offset, length)
        whole = answer.length
        if whole is None:
            raise Unreachable("the storage did not say how long the object is", path=path)
        wanted = max(whole - offset, 0) if length is None else length
        if offset + wanted > whole:
            raise Truncated(f"it has {whole} bytes, not {offset + wanted}", path=path)
        return iter(answer) if wanted == whole else _slice(answer, offset, wanted)

    def _ask(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        body: Body | None = None,
        length: int | None = None,
        pool: Pool | None = None,
    ) -> Response:
        base = self._base
        where = (base.path + encode_path(key)) if key else self._bucket_path
        asked = encode_query(query) if query else ""
        signed = self._signer.sign(method, where, asked, {"host": self._host, **(headers or {})})
        target = Target(base.scheme, base.host, base.port, f"{where}?{asked}" if asked else where)
        return (pool or self._pool).request(method, target, signed, body, length)

    def _done(self, answer: Response, path: str) -> Headers:
        self._document(answer, path)
        return answer.headers

    def _document(self, answer: Response, path: str) -> bytes:
        """What a request that was done was answered with."""
        if answer.status not in {200, 204}:
            raise self._refusal(answer, path)
        if (document := answer.read_all(ERROR_MAX)) and (code := error_code(document)):
            raise error_of(500, code, answer.headers, path)  # some errors come with status 200
        return document

    def _why(self, answer: Response, key: str, path: str) -> StorageError:
        """A refused HEAD has no body that says why; the same question as GET has one."""
        if answer.status not in {400, 403}:
            return error_of(answer.status, "", answer.headers, path)
        with self._ask("GET", key, headers={"range": "bytes=0-0"}) as asked:
            return self._refusal(asked if asked.status >= 300 else answer, path)

    def _refusal(self, answer: Response, path: str | None) -> StorageError:
        """What a refusal says. When the server finds our clock wrong, the next request is signed by its own."""
        code = error_code(answer.read_all(ERROR_MAX))
        self._clock.learn(code, answer.headers.get("date"))
        return error_of(answer.status, code, answer.headers, path)


def _unreadable(error: StorageError, path: str) -> StorageError:
    if code_of(error) == "PreconditionFailed":
        return SourceChanged("it was written to since this version was seen", path=path)
    return error


def _check_version(answer: Response, version: str | None, path: str) -> None:
    # Not every server obeys If-Match; the ETag of the answer tells.
    if version is not None and answer.headers.get("etag", "").strip('"') != version:
        raise SourceChanged("it was written to since this version was seen", path=path)


def _partial(answer: Response, path: str, offset: int, length: int | None) -> Iterator[Buffer]:
    given = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if given is None or int(given[1]) != offset:
        raise Unreachable("the storage answered with another range than the one asked for", path=path)
    first, last = int(given[1]), int(given[2])
    got = last - first + 1
    if answer.length not in {None, got}:
        raise Unreachable("the storage contradicts itself about the length of a range", path=path)
    if length is None and given[3] != "*" and last + 1 != int(given[3]):
        raise Truncated(f"the storage gave the bytes up to {last} of {given[3]}", path=path)
    if length is not None and got != length:
        raise Truncated(f"the object ends {length - got} bytes before the end of the range", path=path)
    return _slice(answer, 0, got)


def _checked(buffers: Iterator[Buffer], answer: Response, path: str) -> Iterator[Buffer]:
    """Compare the bytes with the checksum that came with them, if they are the whole object: ``DigestMismatch`` before
    the last ones are given out, so that nobody ever holds all of a wrong object."""
    given = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    whole = int(given[1]) == 0 and given[3] == str(int(given[2]) + 1) if given else answer.length is not None
    expected = {name: value for name, value in vouched(answer.headers).items() if name in ALGORITHMS} if whole else {}
    running = start(expected)
    got = 0
    for buffer in buffers:
        got += len(buffer)
        for one in running.values():
            one.update(buffer)
        if got == answer.length and any(running[name].hexdigest() != value for name, value in expected.items()):
            raise DigestMismatch("what arrived has another checksum than what is stored", path=path)
        yield buffer


def _slice(answer: Iterable[memoryview], offset: int, length: int) -> Iterator[Buffer]:
    """``length`` bytes of a body after its first ``offset`` ones."""
    for buffer in answer:
        skipped = min(offset, len(buffer))
        offset -= skipped
        piece = buffer[skipped : skipped + length]
        length -= len(piece)
        if piece:
            yield piece
        if not length:
            return  # what may follow was not asked for


def _object(key: str, headers: Headers, path: str) -> Object:
    size = headers.get("content-length", "")
    if not (size.isascii() and size.isdigit()):
        raise Unreachable("the storage did not say how long the object is", path=path)
    return Object(key, headers, int(size), headers.get("etag", "").strip('"'))


def vouched(headers: Headers) -> Digests:
    """The checksums over the whole object that the storage names, by the names of the contract.

    A composite one (of the parts' checksums) is left out: it says nothing that others could check.
    """
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return {}
    values = ((name, headers.get(header, "")) for header, name in _CHECKSUMS.items())
    return {name: decoded for name, value in values if value and (decoded := _hexadecimal(value))}


def _hexadecimal(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def md5_of(data: Buffer) -> str:
    """What the ETag of an object or part is that was stored in one request, unless it is encrypted."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def in_base64(digest: str) -> str:
    """A hexadecimal digest as S3 headers want it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def exists(data: DataPlane, key: str, path: str) -> Object | None:
    """The object, or None."""
    try:
        return data.head(key, path)
    except NotFound:
        return None
