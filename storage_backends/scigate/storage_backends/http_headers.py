"""What the headers of an HTTP answer say about a file: its size, version, digests and name. Pure reading.

Headers come from strangers: what breaks its grammar counts as not said, it is never guessed at.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from .backend import Digests
from .dates import http_date
from .web_url import last_segment, safe_name
from .wire import Headers, Target

WANTED_DIGESTS: Final = {
    "Want-Repr-Digest": "sha-256=9, md5=5, adler=3",  # RFC 9530
    "Want-Digest": "sha-256;q=0.9, md5;q=0.5, adler32;q=0.3",  # RFC 3230, as grid storages still know it
}
LONGEST_WAIT: Final = timedelta(hours=1)

_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110 section 8.8.3
_WEAK_ETAG: Final = re.compile(r'W/"[\x21\x23-\x7e\x80-\xff]*"')
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_UNSATISFIED: Final = re.compile(r"bytes \*/([0-9]{1,18})")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_MEMBER: Final = re.compile(r"[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?[ \t]*")
_PARAMETER: Final = re.compile(r';[ \t]*([A-Za-z]+\*?)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)')
_EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*'([A-Za-z0-9!#$&+.^_`|~%-]*)", re.IGNORECASE)

_BYTES: Final = {"sha-256": 32, "sha-512": 64, "md5": 16, "adler": 4, "crc32c": 4}
_LEGACY: Final = {"sha-256": "sha-256", "sha-512": "sha-512", "md5": "md5", "adler32": "adler", "crc32c": "crc32c"}
_SUFFIXES: Final = {
    "gzip": (".gz", ".tgz", ".gzip", ".bgz"),
    "bzip2": (".bz2", ".tbz2"),
    "xz": (".xz", ".txz"),
    "zstd": (".zst", ".zstd"),
    "br": (".br",),
    "compress": (".z",),
}


def length_of(headers: Headers) -> int | None:
    """``Content-Length`` as the answer to a HEAD gives it."""
    value = headers.get("content-length", "")
    return int(value) if _LENGTH.fullmatch(value) else None


def content_range(headers: Headers) -> tuple[int, int, int | None] | None:
    """First and last position and the whole size (None: not told) of a 206; None if there is no valid range."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    whole = None if found[3] == "*" else int(found[3])
    return (first, last, whole) if first <= last and (whole is None or last < whole) else None


def unsatisfied_size(headers: Headers) -> int | None:
    """The whole size that a 416 tells (RFC 9110 section 15.5.17)."""
    found = _UNSATISFIED.fullmatch(headers.get("content-range", ""))
    return int(found[1]) if found else None


def takes_ranges(headers: Headers) -> bool | None:
    """What ``Accept-Ranges`` says; None if it says nothing."""
    value = headers.get("accept-ranges", "").lower()
    return True if "bytes" in value else False if value == "none" else None


def strong_etag(headers: Headers) -> str | None:
    value = headers.get("etag", "")
    return value if _STRONG_ETAG.fullmatch(value) else None


def modified(headers: Headers) -> datetime | None:
    return http_date(headers.get("last-modified", ""))


def version_of(headers: Headers, size: int | None) -> str | None:
    """What changes when the bytes do: a strong ETag, or else ``Last-Modified`` with the size.

    A weak ETag alone promises no equal bytes (RFC 9110 section 8.8.1): it only sharpens the second kind. None:
    nothing to go by.
    """
    if (etag := strong_etag(headers)) is not None:
        return f"etag {etag}"
    changed = modified(headers)
    if changed is None or size is None:
        return None
    weak = headers.get("etag", "")
    more = f" {weak}" if _WEAK_ETAG.fullmatch(weak) else ""
    return f"modified {changed.isoformat()} size {size}{more}"


def conditions(version: str | None, *, ranged: bool) -> dict[str, str]:
    """The headers that make a server refuse to answer from another version than ``version``.

    ``If-Range`` only beside a ``Range``, and only with a strong ETag: with a date, a 206 would not repeat the date.
    """
    if version is None:
        return {}
    if version.startswith("etag "):
        etag = version.removeprefix("etag ")
        return {"If-Match": etag} | ({"If-Range": etag} if ranged else {})
    changed = datetime.fromisoformat(version.split(" ")[1])
    return {"If-Unmodified-Since": changed.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}


def digests_of(headers: Headers) -> Digests:
    """Digests of the whole file: ``Repr-Digest`` (RFC 9530), or else ``Digest`` (RFC 3230).

    Not ``Content-MD5``, nor ``Content-Digest``: they are about one answer's content, which may be a part.
    """
    return _repr_digest(headers.get("repr-digest", "")) or _legacy_digest(headers.get("digest", ""))


def content_md5(headers: Headers) -> Digests:
    """``Content-MD5`` (RFC 2616); only to be asked where the answer is about the whole file."""
    found = _hex(headers.get("content-md5", ""), "md5")
    return {"md5": found} if found else {}


def retry_after(headers: Headers, now: datetime) -> timedelta | None:
    """How long the server asks us to wait, seconds or a date, at most an hour; None if it makes no sense."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=int(value)) if len(value) <= 4 and int(value) <= 3600 else LONGEST_WAIT
    when = http_date(value)
    return None if when is None else min(max(when - now, timedelta()), LONGEST_WAIT)


def undecoded(headers: Headers, names: list[str]) -> str | None:
    """The ``Content-Encoding`` that makes these bytes something else than the file they are named after.

    None where there is none, and where one of the names says so itself: many servers label ``x.fastq.gz`` gzip, and
    there the encoded bytes are the file.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in {"", "identity"}:
        return None
    suffixes = _SUFFIXES.get(coding.removeprefix("x-"), ())
    return None if any(name.lower().endswith(suffixes) for name in names if suffixes) else coding


def suggested_name(target: Target, headers: Headers) -> str:
    """A safe file name: from ``Content-Disposition`` (RFC 6266), or the URL's last segment, or ``download``."""
    return disposition_name(headers) or last_segment(target) or "download"


def disposition_name(headers: Headers) -> str:
    """The name in ``Content-Disposition``, ``filename*`` (RFC 8187) before ``filename``; empty if there is none."""
    given = {
        found[1].lower(): found[2].strip() for found in _PARAMETER.finditer(headers.get("content-disposition", ""))
    }
    return safe_name(_extended(given.get("filename*", ""))) or safe_name(_quoted(given.get("filename", "")))


def _extended(value: str) -> str:
    found = _EXTENDED.fullmatch(value)
    try:
        return unquote_to_bytes(found[2]).decode(found[1]) if found else ""
    except UnicodeDecodeError:
        return ""


def _quoted(value: str) -> str:
    plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    try:
        return plain.encode("latin-1").decode("utf-8")  # not allowed, but what servers send
    except UnicodeDecodeError:
        return plain


def _repr_digest(field: str) -> dict[str, str]:
    """An RFC 8941 dictionary of byte sequences; one bad member makes the whole field invalid."""
    members = [_MEMBER.fullmatch(member) for member in field.split(",")]
    if not field or any(member is None for member in members):
        return {}
    found = {member[1]: _hex(member[2], member[1], hexadecimal=False) for member in members if member}
    return {name: value for name, value in found.items() if value}


def _legacy_digest(field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for member in field.split(","):
        algorithm, _, value = member.strip().partition("=")
        name = _LEGACY.get(algorithm.lower(), "")
        if digest := _hex(value, name):
            found[name] = digest
    return found


def _hex(value: str, name: str, *, hexadecimal: bool = True) -> str:
    """The digest in lower-case hexadecimal; empty if it is unknown or has another length than its algorithm's."""
    size = _BYTES.get(name, 0)
    if hexadecimal and size and re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", value):
        return value.lower()
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return raw.hex() if size and len(raw) == size else ""
