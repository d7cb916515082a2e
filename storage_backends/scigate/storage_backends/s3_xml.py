"""The two XML documents the data plane reads: an error, and a page of a listing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError, XMLParser

from .dates import usable
from .errors import Unreachable

PAGE_MAX: Final = 16 << 20  # 1,000 keys of 1,024 bytes, percent-encoded, fit several times


@dataclass(frozen=True, slots=True)
class Found:
    """An object or, with ``etag`` None, a common prefix."""

    key: str
    size: int = 0
    etag: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    found: list[Found]
    next: str | None  # the token of the next page


def parse(document: bytes) -> Element:
    """Parse an answer of a server. ``Unreachable`` if it is not XML, or holds a DTD or other markup declaration.

    Without a DTD there are no entities to expand or to fetch. UTF-16 and UTF-32, which could hide one, have NUL bytes.
    """
    if b"<!" in document or b"\0" in document:
        raise Unreachable("the storage answered with XML that holds a declaration")
    parser = XMLParser(encoding="utf-8")  # noqa: S314 declarations were refused above
    try:
        parser.feed(document)
        root: Element = parser.close()
    except (ParseError, ValueError):
        raise Unreachable("the storage did not answer with XML") from None
    return root


def error_code(document: bytes) -> str:
    """The code of an error document; empty if it is none.

    A server that works for long sends blanks first, so that nobody takes it for dead ("CopyObject", in the API
    Reference).
    """
    try:
        root = parse(document.lstrip())
    except Unreachable:
        return ""
    return _text(root, _namespace(root), "Code") if root.tag.endswith("Error") else ""


def copied_etag(document: bytes) -> str:
    """The ETag in the answer to CopyObject; empty if it is no such answer."""
    try:
        root = parse(document.lstrip())
    except Unreachable:
        return ""
    space = _namespace(root)
    return _text(root, space, "ETag").strip('"') if root.tag == f"{space}CopyObjectResult" else ""


def listing(document: bytes) -> Page:
    """A page of ListObjectsV2 with EncodingType=url: objects and common prefixes, in the order of their keys."""
    root = parse(document)
    space = _namespace(root)
    if root.tag != f"{space}ListBucketResult":
        raise Unreachable("the storage did not answer with a listing")
    encoded = _text(root, space, "EncodingType") == "url"
    found = [*_objects(root, space, encoded), *_prefixes(root, space, encoded)]
    found.sort(key=lambda item: item.key.encode("utf-8", "surrogateescape"))
    token = _text(root, space, "NextContinuationToken")
    if _text(root, space, "IsTruncated") == "true" and not token:
        raise Unreachable("the storage cut its listing off without saying where it goes on")
    return Page(found, token or None)


def _objects(root: Element, space: str, encoded: bool) -> Iterator[Found]:
    for item in root.iterfind(f"{space}Contents"):
        fields = {child.tag: child.text or "" for child in item}
        try:
            size = int(fields[f"{space}Size"])
            modified = usable(datetime.fromisoformat(fields[f"{space}LastModified"]))
            key = fields[f"{space}Key"]
        except (KeyError, ValueError):
            raise Unreachable("the storage listed an object without a name, size or time") from None
        yield Found(_decode(key, encoded), size, fields.get(f"{space}ETag", "").strip('"'), modified)


def _prefixes(root: Element, space: str, encoded: bool) -> Iterator[Found]:
    for item in root.iterfind(f"{space}CommonPrefixes"):
        yield Found(_decode(_text(item, space, "Prefix"), encoded))


def _decode(key: str, encoded: bool) -> str:
    """Servers write a space as ``+`` or ``%20``; a plus itself is always ``%2B``."""
    return unquote(key.replace("+", " "), errors="surrogateescape") if encoded else key


def _namespace(root: Element) -> str:
    return root.tag.rpartition("}")[0] + "}" if root.tag.startswith("{") else ""


def _text(element: Element, space: str, name: str) -> str:
    return element.findtext(f"{space}{name}") or ""
