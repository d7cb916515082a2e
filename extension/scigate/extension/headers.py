"""Which headers pass a forwarding server, and how addresses in them change. Pure.

Sources: RFC 9110 §7.6 (what is of one connection only), RFC 6265 (cookies are the Jupyter Server's own).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"}
)  # fmt: skip
OURS: Final = frozenset(
    {"host", "cookie", "authorization", "x-xsrftoken", "x-csrftoken", "origin", "referer", "expect", "forwarded",
     "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix",
     "x-real-ip", "x-scheme"}
)  # fmt: skip
"""Of a request: what is meant for this server, proves something to it, or tells where it was sent from."""
THEIRS: Final = frozenset(
    {"set-cookie", "server", "date", "alt-svc", "strict-transport-security", "www-authenticate", "clear-site-data",
     "refresh", "service-worker-allowed"}
)  # fmt: skip
"""Of an answer: what the gateway may say for itself, but not in this server's name."""
ADDRESSES: Final = frozenset({"location", "content-location", "link"})
OUR_PARAMETERS: Final = frozenset({"token", "_xsrf", "no_track_activity"})
API: Final = "/api/v1"
Headers = Iterable[tuple[str, str]]


def to_gateway(headers: Headers) -> Iterator[tuple[str, str]]:
    """What goes along with a request."""
    given = list(headers)
    dropped = HOP_BY_HOP | OURS | _named_by_connection(given)
    return ((name, value) for name, value in given if _passes(name, dropped))


def to_client(headers: Headers, rewrite: Rewriting) -> Iterator[tuple[str, str]]:
    """What goes along with an answer, its addresses those of this server."""
    given = list(headers)
    dropped = HOP_BY_HOP | THEIRS | _named_by_connection(given)
    for name, value in given:
        if _passes(name, dropped) and not name.lower().startswith("access-control-"):
            yield name, rewrite(name, value) if name.lower() in ADDRESSES else value


class Rewriting:
    """Turns the gateway's addresses into this server's: ``/services/scigate/api/v1/…`` into ``/user/ada/scigate/…``.

    ``origin`` and ``prefixes``: where the gateway believes that it is; ``own``: where it is for the client.
    """

    def __init__(self, origin: str, prefixes: Iterable[str], own: str) -> None:
        self._origin, self._prefixes, self._own = origin, tuple(prefixes), own

    def __call__(self, name: str, value: str) -> str:
        if name.lower() != "link":
            return self._address(value)
        return re.sub(r"<([^<>]*)>", lambda found: f"<{self._address(found[1])}>", value)

    def _address(self, value: str) -> str:
        path = value.removeprefix(self._origin) if value.startswith(self._origin + "/") else value
        for prefix in self._prefixes:
            if path.startswith(f"{prefix}{API}/"):
                return self._own + path[len(prefix) :]
        return value


def query_to_gateway(query: str) -> str:
    """The query without what only this server understands; the rest letter for letter."""
    return "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) not in OUR_PARAMETERS)


def is_plain(path: str) -> bool:
    """Whether no segment leads elsewhere (RFC 3986 §5.2.4), which a proxy before the gateway might follow."""
    segments = unquote(path, errors="replace").split("/")
    return ".." not in segments and "." not in segments and not re.search(r"[\x00-\x20\x7f\\]", path)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _passes(name: str, dropped: frozenset[str]) -> bool:
    return name.lower() not in dropped and not name.lower().startswith("sec-")


def _named_by_connection(headers: list[tuple[str, str]]) -> frozenset[str]:
    values = (value for name, value in headers if name.lower() == "connection")
    return frozenset(word.strip().lower() for value in values for word in value.split(","))
