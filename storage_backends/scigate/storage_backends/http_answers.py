"""From an HTTP answer to what the contract knows: an entry, exactly the bytes that were asked for, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from .backend import Buffer, Entry
from .errors import (
    AccessDenied,
    CredentialRefused,
    NotFound,
    SourceChanged,
    StorageError,
    Throttled,
    Truncated,
    Unreachable,
    Unsupported,
)
from .http_headers import (
    content_md5,
    content_range,
    digests_of,
    length_of,
    modified,
    retry_after,
    undecoded,
    unsatisfied_size,
    version_of,
)
from .wire import Headers, Response, Target

NO_LENGTH: Final = "Download it with a browser or curl and put the file, or ask its operator for a plain file URL."


_MEANING: Final[dict[int, tuple[type[StorageError], str]]] = {
    401: (CredentialRefused, "{who} wants to know who is asking for {path}"),
    403: (AccessDenied, "{who} does not allow {path} to be read"),
    404: (NotFound, "{who} has no {path}"),
    408: (Unreachable, "{who} did not get the request for {path} in time"),
    410: (NotFound, "{who} has no {path} any more"),
    412: (SourceChanged, "{path} at {who} is no longer the version this began with"),
    416: (Truncated, "{who} has fewer bytes of {path} than were asked for"),
    425: (Unreachable, "{who} is not ready to answer for {path}"),
}


def refusal(response: Response, target: Target, path: str) -> StorageError:
    """The error that an answer means which is no file. The server's own words are not repeated: nobody vetted them."""
    status, who = response.status, target.host_header
    if status in {429, 503}:
        wait = retry_after(response.headers, datetime.now(UTC))
        return Throttled(f"{who} asks for fewer requests ({status})", path=path, retry_after=wait)
    otherwise = (
        (Unreachable, "{who} failed inside") if status >= 500 else (Unsupported, "{who} sends no file as {path}")
    )
    kind, message = _MEANING.get(status, otherwise)
    advice = "Check the name; the folders of a web server cannot be listed." if kind is NotFound else None
    return kind(f"{message.format(who=who, path=path)} ({status})", path=path, next_step=advice)


def changed(target: Target, path: str) -> SourceChanged:
    return SourceChanged(f"{path} at {target.host_header} is no longer the version this began with", path=path)


def whole_size(response: Response, *, asked: str) -> int | None:
    """The size of the whole file as the answer to ``asked`` (HEAD, or GET of the first byte) tells it."""
    if response.status == 206:
        found = content_range(response.headers)
        return found[2] if found else None
    if response.status == 416:
        return unsatisfied_size(response.headers)
    return length_of(response.headers) if asked == "HEAD" else response.length


def entry_of(response: Response, size: int, path: str) -> Entry:
    """The entry that ``response`` describes, with the digests that the server vouches for."""
    headers = response.headers
    of_whole: dict[str, str] = dict(content_md5(headers)) if response.status == 200 else {}
    return Entry(
        path=path,
        size=size,
        modified=modified(headers),
        version=version_of(headers, size),
        digests=of_whole | dict(digests_of(headers)),
    )


def refuse_coding(headers: Headers, names: list[str], target: Target, path: str) -> None:
    """Never decode, never store under the name of the decoded file what is not that file."""
    coding = undecoded(headers, names)
    if coding is not None:
        raise Unsupported(
            f"{target.host_header} sends {path} in the coding {coding[:40]!r} although it was asked not to",
            path=path,
            next_step="Ask its operator for the plain file, or for a URL whose name ends like the coding (.gz).",
        )


def checked_range(response: Response, offset: int, length: int | None, target: Target, path: str) -> int:
    """How many bytes a 206 brings, if they are those that were asked for; else ``Truncated``."""
    found = content_range(response.headers)
    wrong = f"{target.host_header} sent another part of {path} than it was asked for"
    if found is None or found[0] != offset or (length is None and found[2] is None):
        raise Truncated(wrong, path=path)
    first, last, whole = found
    count = last - first + 1
    if count != (length if length is not None else (whole or 0) - offset):
        raise Truncated(wrong if whole is None or last + 1 < whole else f"{path} has only {whole} bytes", path=path)
    if response.length not in {None, count}:
        raise Truncated(f"{target.host_header} announces another length than its range has, for {path}", path=path)
    return count


def exactly(pieces: Iterator[memoryview], count: int, path: str) -> Iterator[Buffer]:
    """Pass on ``count`` bytes of an answer that holds no more and no less; ``Truncated`` otherwise."""
    left = count
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise Truncated(
            f"{path} came with {'more' if left < 0 else 'fewer'} than the promised {count} bytes", path=path
        )


class WholeAnswer:
    """The answer of a server without ranges, which always sends the whole file: read on, not again from the start."""

    def __init__(self, response: Response, version: str | None, path: str) -> None:
        self.path = path
        self.version = version
        self.position = 0
        self.size = response.length or 0
        self._response = response
        self._pieces = iter(response)
        self._rest = memoryview(b"")  # of the last piece; valid, as nobody else asks for the next one

    def take(self, offset: int, length: int) -> Iterator[Buffer]:
        """Skip to ``offset``, which is not behind, then give ``length`` bytes. Not to be used again if left early."""
        for _ in self._give(offset - self.position):
            pass
        yield from self._give(length)

    def close(self) -> None:
        self._response.close()

    def _give(self, count: int) -> Iterator[memoryview]:
        left = count
        while left:
            if not self._rest:
                self._rest = next(self._pieces, memoryview(b""))
            if not self._rest:
                raise Truncated(f"{self.path} ended after {self.position} bytes", path=self.path)
            piece, self._rest = self._rest[:left], self._rest[left:]
            left -= len(piece)
            self.position += len(piece)
            yield piece
