"""One strict reading of outside ``http(s)`` URLs: what is checked here is exactly what is used.

Attacks on URL checks live on two parsers that disagree about the host. Here there is one, and it reads no more than
the unambiguous part of RFC 3986: whatever browsers, curl and urllib read differently is refused, never repaired.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, unquote, urljoin

import idna

from .errors import InvalidName
from .wire import PORTS, Target

LONGEST_URL: Final = 8192  # bytes; what servers accept at least (RFC 9112 section 3)
LONGEST_HOST: Final = 253  # RFC 1035
LONGEST_NAME: Final = 255  # bytes of a file name; NAME_MAX on Linux

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHAPE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a host that ends so is an IPv4 address (WHATWG URL, 3.5)
_PLAIN_IPV4: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_IN_PATH: Final = "%/:@!$&'()*+,;=-._~[]"


class InvalidUrl(InvalidName):
    """The text is not a URL that can be read in one way only; ``rule`` names the rule that is broken."""

    next_step = "Correct the URL, for example https://data.example.org/run7/a.bam, and submit it again."

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def parse_web_url(text: str) -> Target:
    """Take an absolute ``http(s)`` URL apart; ``InvalidUrl`` with the rule that is broken.

    The host comes back as lower-case ASCII (IDNA 2008) without a trailing dot, or as a canonical address; path and
    query come back percent-encoded (RFC 3987 section 3.1); the fragment is dropped, as it is never sent.
    """
    _refuse_ambiguous(text)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InvalidUrl("shape", "this is not an absolute URL of the form https://host/path")
    scheme = shape[1].lower()
    if scheme not in PORTS:
        raise InvalidUrl("scheme", f"only http and https URLs can be read, not {scheme}")
    host, port = _authority(shape[2])
    target = quote((shape[3] or "/") + (shape[4] or ""), safe=_IN_PATH + "?", errors="surrogateescape")
    return Target(scheme, host, PORTS[scheme] if port is None else port, target)


def follow(base: Target, location: str) -> Target:
    """The target of a ``Location`` header (RFC 9110 section 10.2.2), read by the same rules as any URL."""
    _refuse_ambiguous(location)
    if _SCHEME.match(location):
        return parse_web_url(location)  # not joined: that would repair "http:/x"
    if location.startswith("//"):
        return parse_web_url(f"{base.scheme}:{location}")
    return parse_web_url(urljoin(url_of(base), location))


def url_of(target: Target) -> str:
    """The URL as text; its query may hold secrets, so it is not for logs."""
    return f"{target.scheme}://{target.host_header}{target.path}"


def last_segment(target: Target) -> str:
    """The decoded last segment of the path, made a safe file name; empty if there is none."""
    return safe_name(unquote(target.path.partition("?")[0].rpartition("/")[2], errors="surrogateescape"))


def safe_name(name: str) -> str:
    """``name`` without folders and control characters, at most 255 bytes; empty if nothing safe remains.

    Names come from strangers (RFC 6266 section 4.3): no separators of any system, no ``..``, no leading dot that
    hides a file, nothing that rewrites a terminal line.
    """
    base = re.split(r"[/\\]", name)[-1]
    visible = "".join(c for c in base if unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"})
    name = visible.strip(" ").lstrip(". ")[:LONGEST_NAME]
    while len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        name = name[:-1]
    return name.rstrip(" ")


def _refuse_ambiguous(text: str) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_URL:
        raise InvalidUrl("length", f"a URL is at most {LONGEST_URL} bytes long")
    if _CONTROL.search(text) or text != text.strip():
        raise InvalidUrl("control", "a URL cannot contain control characters, line breaks or spaces around it")
    if "\\" in text:
        raise InvalidUrl("backslash", "a URL cannot contain a backslash: write '/' between folders, or %5C in a name")


def _authority(text: str) -> tuple[str, int | None]:
    if "@" in text:
        raise InvalidUrl("userinfo", "a URL cannot contain a user name or password: anybody who sees it would know it")
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise InvalidUrl("authority", "the URL needs a host, optionally followed by ':' and a port number")
    port = None if found[2] is None else int(found[2])
    if port is not None and not 1 <= port <= 65535:
        raise InvalidUrl("port", f"{port} is not a port: use 1 to 65535")
    return (_ipv6(found[1][1:-1]) if found[1].startswith("[") else check_host(found[1])), port


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise InvalidUrl("address", "what stands in brackets is not an IPv6 address") from None


def check_host(text: str) -> str:
    """A host name in its one canonical form, or ``InvalidUrl``. IPv4 only as four decimal numbers (RFC 3986)."""
    host = _ascii(text).removesuffix(".")
    labels = host.split(".")
    if len(host) > LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl("host", "the host of the URL is not a host name: use letters, digits, '-' and '.'")
    if not _NUMBER.fullmatch(labels[-1]):
        return host
    try:
        if _PLAIN_IPV4.fullmatch(host):
            return str(IPv4Address(host))  # refuses leading zeros, which some read as octal
    except ValueError:
        pass
    raise InvalidUrl("address", "an IPv4 address is written as four decimal numbers from 0 to 255 without zeros ahead")


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return idna.encode(text.lower(), strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidUrl(
            "idna", "the international host name breaks the rules of IDNA 2008: write its xn-- form"
        ) from None
