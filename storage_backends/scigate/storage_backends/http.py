"""Read-only storage on any web server, and single outside URLs as sources.

``TYPE`` opens a storage below a base URL; ``open_url`` one URL whose only path is its file name. Both read with
ranges and conditions (RFC 9110), so that a file that changes between two blocks is noticed, and both refuse what they
cannot vouch for: a part other than asked for, a coding nobody asked for, a file without a length.

A server without ranges sends the whole file each time. Then an answer that is not read to its end is kept for the
next block, so that reading a file in order costs one request.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn, TypeAlias
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from .backend import Buffer, Digests, Draft, Entry, Extras, Limits
from .credential import Secret
from .errors import InvalidName, NotFound, NotRegular, Truncated, Unreachable, Unsupported
from .http_answers import NO_LENGTH, WholeAnswer, changed, checked_range, entry_of, exactly, refusal, refuse_coding
from .http_answers import whole_size as size_of
from .http_headers import WANTED_DIGESTS, conditions, disposition_name, suggested_name, takes_ranges, version_of
from .location import check_path
from .registry import BackendType, Connect, Options
from .web_url import follow, last_segment, parse_web_url
from .wire import Headers, Pool, Response, Target, tls_context

VetRedirect: TypeAlias = Callable[[Target, str], Target]
"""(where from, the ``Location`` header) → where to. A ``StorageError`` if we may not follow."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
HEAD_REFUSED: Final = frozenset({400, 403, 405, 501})  # many servers, and all pre-signed URLs, know only GET
MAX_REDIRECTS: Final = 5
KEPT_ANSWERS: Final = 4
KNOWN_SIZES: Final = 1000
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_IN_PATH: Final = "/~!$&'()*+,;=:@"


class HttpOptions(Options):
    """A web server with files below ``url``."""

    url: str
    token: Secret | None = None
    """Sent as bearer token (RFC 6750), to the host of ``url`` only."""
    ca_file: Path | None = None
    redirect_to: tuple[str, ...] = ()
    """Other hosts, or ``*.suffix``, that the server may redirect to, such as its data nodes."""
    concurrency: int = Field(default=8, ge=1, le=256)

    @field_validator("url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        try:
            base = parse_web_url(value)
        except InvalidName as error:
            raise ValueError(error.message) from None
        if "?" in base.path:
            raise ValueError("the URL of a storage has no query: a path is appended to it")
        return value

    @model_validator(mode="after")
    def _keeps_its_token(self) -> HttpOptions:
        base = parse_web_url(self.url)
        if self.token is not None and base.scheme != "https" and base.host not in _LOOPBACK:
            raise ValueError("a token would travel in clear over http: use https")
        return self

    @property
    def root_url(self) -> str:
        return f"{self.url.rstrip('/')}/"


class HttpBackend:
    """Files below a base URL, or with ``open_url`` a single one."""

    extras = Extras()

    def __init__(
        self, base: Target, pool: Pool, vet: VetRedirect, *, token: Secret | None = None, concurrency: int = 8
    ) -> None:
        self.limits = Limits(read_only=True, listable=False, concurrency=concurrency)
        self.max_redirects = MAX_REDIRECTS
        self._base = base
        self._pool = pool
        self._vet = vet
        self._token = token
        self._kept: list[WholeAnswer] = []
        self._sizes: dict[str, int] = {}  # of the files that were looked at last
        self._lock = threading.Lock()

    def stat(self, path: str) -> Entry:
        """See the contract. Asked by HEAD, or with a GET of the first byte where a server refuses HEAD.

        The root is ``NotRegular`` only after the server has answered for it, whatever it said: so one that is down
        can be told from one that is not. ``Unreachable`` and ``Throttled`` as always.
        """
        if path == "":
            self._check_that_it_answers()
        entry = self._look(path)[0]
        with self._lock:
            self._sizes[path] = entry.size
            while len(self._sizes) > KNOWN_SIZES:
                del self._sizes[next(iter(self._sizes))]
        return entry

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        raise Unsupported(
            "a web server cannot be listed: its directory pages are for people and differ from server to server",
            path=prefix,
            next_step="Name the files one by one, or ask its operator for WebDAV or S3 access.",
        )

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        self._target(path)
        if offset < 0 or (length is not None and length < 0):
            raise Truncated(f"there is no byte {offset} in {path}", path=path)
        return self._read(path, offset, length, version)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        _read_only(path)

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> Draft:
        _read_only(path)

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        _read_only(path)

    def delete(self, path: str) -> None:
        _read_only(path)

    # --- asking --------------------------------------------------------------------------------------------------

    def _target(self, path: str) -> Target:
        check_path(path)
        if path == "" or path.endswith("/"):
            raise NotRegular("a web server has no folders that could be asked about, only files", path=path)
        if "." in path.split("/"):
            raise InvalidName("a path with a folder named '.' means another path to a web server", path=path)
        encoded = quote(path, safe=_IN_PATH, errors="surrogateescape")
        return replace(self._base, path=f"{self._base.path.rstrip('/')}/{encoded}")

    def _ask(self, method: str, path: str, headers: Headers) -> tuple[Response, Target]:
        """The answer after all redirects, and who gave it. The credential goes to the first origin only."""
        target = self._target(path)
        for _ in range(self.max_redirects + 1):
            response = self._pool.request(method, target, {**headers, **self._credential(target)})
            if response.status not in REDIRECTS:
                return response, target
            response.close()
            location = response.headers.get("location")
            if location is None:
                raise Unreachable(f"{target.host_header} redirects {path} to nowhere", path=path)
            target = self._vet(target, _header_text(location))
        raise Unsupported(
            f"{self._base.host_header} redirects {path} more than {self.max_redirects} times",
            path=path,
            next_step="Use the URL that the redirects end at.",
        )

    def _check_that_it_answers(self) -> None:
        """Redirects are answers: where they lead is of no interest here."""
        for method in ("HEAD", "GET"):
            headers = {"Range": "bytes=0-0", **self._credential(self._base)}
            with self._pool.request(method, self._base, headers) as response:
                if method == "HEAD" and response.status in HEAD_REFUSED:
                    continue
                if response.status >= 500:
                    raise refusal(response, self._base, "its base URL")
                return

    def _credential(self, target: Target) -> Headers:
        same = (target.scheme, target.host, target.port) == (self._base.scheme, self._base.host, self._base.port)
        return {"Authorization": f"Bearer {self._token.reveal()}"} if self._token and same else {}

    def _look(self, path: str) -> tuple[Entry, str]:
        """What is at ``path``, and the file name that its server suggests."""
        response, target = self._ask("HEAD", path, WANTED_DIGESTS)
        size = size_of(response, asked="HEAD")
        if response.status in HEAD_REFUSED or (response.status == 200 and size is None):
            return self._look_by_get(path)
        if response.status == 200 and size == 0 and not self._is_empty(path):
            return self._look_by_get(path)
        if response.status != 200 or size is None:
            raise refusal(response, target, path)
        self._check_coding(response.headers, target, path)
        if size > self.limits.block_preferred and not takes_ranges(response.headers):
            return self._look_by_get(path)  # whether it has ranges decides how the file is read
        return entry_of(response, size, path), suggested_name(target, response.headers)

    def _is_empty(self, path: str) -> bool:
        """To a HEAD some servers say of any file that it has no byte."""
        response, _ = self._ask("GET", path, {"Range": "bytes=0-0"})
        with response:
            return response.status == 416 or size_of(response, asked="GET") == 0

    def _look_by_get(self, path: str) -> tuple[Entry, str]:
        response, target = self._ask("GET", path, {**WANTED_DIGESTS, "Range": "bytes=0-0"})
        with response:
            size = size_of(response, asked="GET")
            if response.status == 200:
                self._has_no_ranges()
            elif response.status != 206 and not (response.status == 416 and size == 0):
                raise refusal(response, target, path)
            if size is None:
                raise Unsupported(
                    f"{target.host_header} does not say how long {path} is", path=path, next_step=NO_LENGTH
                )
            self._check_coding(response.headers, target, path)
            return entry_of(response, size, path), suggested_name(target, response.headers)

    def _check_coding(self, headers: Headers, target: Target, path: str) -> None:
        refuse_coding(headers, [path, disposition_name(headers), last_segment(target)], target, path)

    def _has_no_ranges(self) -> None:
        if self.limits.concurrency != 1:  # several blocks at once would each fetch the file from its start
            self.limits = replace(self.limits, concurrency=1)

    # --- reading -------------------------------------------------------------------------------------------------

    def _nothing(self, path: str, offset: int, version: str | None) -> Iterator[Buffer]:
        """Zero bytes, which no range can ask for, checked like any other read."""
        found = self.stat(path)
        if version is not None and found.version != version:
            raise changed(self._base, path)
        if offset > found.size:
            raise Truncated(f"{path} has only {found.size} bytes", path=path)
        yield from ()

    def _read(self, path: str, offset: int, length: int | None, version: str | None) -> Iterator[Buffer]:
        if length == 0:
            yield from self._nothing(path, offset, version)
        elif length is not None and (kept := self._kept_answer(path, offset, length, version)):
            yield from self._read_on(kept, offset, length)
        else:
            yield from self._fetch(path, offset, length, version)

    def _fetch(self, path: str, offset: int, length: int | None, version: str | None) -> Iterator[Buffer]:
        ranged = offset > 0 or length is not None
        until = "" if length is None else offset + length - 1
        headers = {"Range": f"bytes={offset}-{until}"} if ranged else {}
        response, target = self._ask("GET", path, {**headers, **conditions(version, ranged=ranged)})
        with ExitStack() as owned:
            owned.enter_context(response)
            if response.status == 416 and length is None and size_of(response, asked="GET") == offset:
                return  # from the end to the end
            if response.status != 200 and not (response.status == 206 and ranged):
                raise refusal(response, target, path)
            self._check_coding(response.headers, target, path)
            size = size_of(response, asked="GET")
            if version is not None and version_of(response.headers, size) != version:
                raise changed(target, path)
            if size is not None and size > self._sizes.get(path, size):  # all that is asked for may be a part of it
                raise changed(target, path)
            if response.status == 206:
                count = checked_range(response, offset, length, target, path)
                yield from exactly(iter(response), count, path)
                return
            whole = self._whole(response, offset, length, target, path)
            self._drop_others(path, whole.version)
            owned.pop_all()  # from here on the answer belongs to ``whole``
            yield from self._read_on(whole, offset, whole.size - offset if length is None else length)

    def _whole(self, response: Response, offset: int, length: int | None, target: Target, path: str) -> WholeAnswer:
        if response.length is None:
            raise Unsupported(f"{target.host_header} does not say how long {path} is", path=path, next_step=NO_LENGTH)
        if offset + (length or 0) > response.length:
            raise Truncated(f"{path} has only {response.length} bytes", path=path)
        if offset > 0 or length not in {None, response.length}:  # some answer a range that is the whole with 200
            self._has_no_ranges()
        return WholeAnswer(response, version_of(response.headers, response.length), path)

    def _read_on(self, whole: WholeAnswer, offset: int, length: int) -> Iterator[Buffer]:
        complete = False
        try:
            yield from whole.take(offset, length)
            complete = whole.position < whole.size
        finally:
            self._keep(whole) if complete else whole.close()

    def _kept_answer(self, path: str, offset: int, length: int, version: str | None) -> WholeAnswer | None:
        """The kept answer that needs the least skipping, taken out."""
        with self._lock:
            fit = [
                kept
                for kept in self._kept
                if kept.path == path and kept.position <= offset and version in {None, kept.version}
            ]
            best = max(fit, key=lambda kept: kept.position, default=None)
            if best is None or offset + length > best.size:
                return None
            self._kept.remove(best)
            return best

    def _drop_others(self, path: str, version: str | None) -> None:
        """What is kept of another version, or of one that nothing tells from this, would be mixed with this one."""
        with self._lock:
            others = [kept for kept in self._kept if kept.path == path and (version is None or kept.version != version)]
            self._kept = [kept for kept in self._kept if kept not in others]
        for kept in others:
            kept.close()

    def _keep(self, whole: WholeAnswer) -> None:
        with self._lock:
            self._kept.append(whole)
            dropped = self._kept.pop(0) if len(self._kept) > KEPT_ANSWERS else None
        if dropped is not None:
            dropped.close()


class UrlSource(HttpBackend):
    """One outside URL as a source: ``path`` is its only file. Open one for each URL."""

    def __init__(self, url: Target, pool: Pool, vet: VetRedirect, *, max_redirects: int = MAX_REDIRECTS) -> None:
        super().__init__(url, pool, vet)
        self.max_redirects = max_redirects
        self.path = suggested_name(url, {})

    def suggested_name(self) -> str:
        """The file name that the server suggests, made safe; asks the server. Errors as in ``stat``."""
        return self._look(self.path)[1]

    def _target(self, path: str) -> Target:
        if path != self.path:
            raise NotFound(f"a URL is the single file {self.path}", path=path)
        return self._base


def open_url(
    url: str,
    connect: Connect,
    vet: VetRedirect,
    *,
    max_redirects: int = MAX_REDIRECTS,
    tls: ssl.SSLContext | None = None,
) -> UrlSource:
    """A source that reads ``url``, without touching the network yet. ``InvalidUrl`` if it cannot be one.

    ``connect`` and ``vet`` decide where connections and redirects may go; a stranger's URL needs those of the
    gateway's egress. ``tls`` must verify; without it the system's authorities are trusted.
    """
    return UrlSource(parse_web_url(url), Pool(connect, tls), vet, max_redirects=max_redirects)


def redirects_within(hosts: Iterable[str]) -> VetRedirect:
    """The redirects of a configured server: to its own host and to ``hosts``, never from https to http."""
    patterns = tuple(host.lower() for host in hosts)

    def vet(base: Target, location: str) -> Target:
        target = follow(base, location)
        named = any(target.host.endswith(p[1:]) if p.startswith("*.") else target.host == p for p in patterns)
        if base.scheme == "https" and target.scheme != "https":
            raise Unsupported(f"{base.host} redirects from https to http, where anybody could change the data")
        if target.host != base.host and not named:
            raise Unsupported(
                f"{base.host} redirects to {target.host}, which is no part of this storage",
                next_step=f'Ask the administrator to add "{target.host}" to redirect_to of this storage.',
            )
        return target

    return vet


def _read_only(path: str) -> NoReturn:
    raise Unsupported(
        "a storage of type http can only be read", path=path, next_step="Choose another storage as destination."
    )


def _header_text(value: str) -> str:
    """Headers are read as Latin-1; what stands in one as UTF-8 keeps its bytes (RFC 9110 section 5.5)."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _open(options: HttpOptions, connect: Connect) -> HttpBackend:
    tls = tls_context(options.ca_file) if options.ca_file else None
    vet = redirects_within(options.redirect_to)
    pool = Pool(connect, tls)
    return HttpBackend(parse_web_url(options.url), pool, vet, token=options.token, concurrency=options.concurrency)


TYPE = BackendType("http", "any web server, read-only", HttpOptions, _open)
