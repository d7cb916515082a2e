"""What the OpenAPI document says of answers beside their bodies: which statuses can occur, and with which headers.

Most follows from the table by rule; the rest stands here, by method and path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

from ..policy import SAFE, Rule
from .handler import CHECKSUM_MISMATCH
from .route import Route

BODYLESS: Final = frozenset({101, 204, 304, 307})
ALWAYS: Final = frozenset({400, 413, 421, 422, 500, 503})
"""Any request can be unreadable, too large, for another host, or have a wrong parameter; and we can fail."""
_BY_RULE: Final[Mapping[Rule, frozenset[int]]] = {
    Rule.ANYONE: frozenset(),
    Rule.USER: frozenset({401}),
    Rule.STORAGE_READ: frozenset({401, 404}),
    Rule.STORAGE_WRITE: frozenset({401, 403, 404}),
    Rule.TRANSFER: frozenset({401, 404}),
    Rule.UPLOAD: frozenset({401, 404}),
    Rule.WEBHOOK: frozenset({401, 404}),
    Rule.ADMIN: frozenset({401, 403}),
    Rule.PAGE: frozenset({302, 403}),
}
_STORAGE_SAYS: Final = frozenset({403, 404, 409, 412, 502})
"""What a storage itself may answer: see ``problems.from_storage``."""

FILE: Final = "/api/v1/files/{storage}/{path}"
_UPLOADS, _UPLOAD = "/api/v1/uploads", "/api/v1/uploads/{id}"
_WEBHOOKS, _WEBHOOK = "/api/v1/webhooks", "/api/v1/webhooks/{id}"

_REFUSALS: Final[Mapping[tuple[str, str], frozenset[int]]] = {
    ("GET", FILE): frozenset({406, 416, 429}),
    ("PUT", FILE): frozenset({411, 415, 507}),
    ("POST", FILE): frozenset({507}),
    ("POST", "/api/v1/moves"): frozenset({507}),
    ("GET", "/api/v1/events"): frozenset({404, 406, 429}),
    ("GET", "/api/v1/events/ws"): frozenset({403, 404, 426, 429}),
    ("POST", "/api/v1/tickets"): frozenset({429}),
    ("POST", _UPLOADS): frozenset({403, 429, 507}),
    ("POST", "/api/v1/manifests"): frozenset({403, 404, 429}),
    ("POST", "/api/v1/transfers/bulk"): frozenset({429}),
    ("HEAD", _UPLOAD): frozenset({410, 412, 423}),
    ("GET", _UPLOAD): frozenset({410, 412, 423}),
    ("PATCH", _UPLOAD): frozenset({423, 507}),
    ("DELETE", _UPLOAD): frozenset({409, 410, 423}),
    ("POST", _WEBHOOKS): frozenset({404, 429}),
    ("POST", f"{_WEBHOOK}/replay"): frozenset({409}),
    ("POST", f"{_WEBHOOK}/enable"): frozenset({409}),
    ("POST", f"{_WEBHOOK}/test"): frozenset({409, 429}),
}
_OTHER_STATUSES: Final[Mapping[tuple[str, str], tuple[int, ...]]] = {("GET", FILE): (206, 304, 307)}

_VERSION: Final = ("ETag", "Last-Modified")
_BYTES: Final = (*_VERSION, "Accept-Ranges", "Content-Disposition", "Repr-Digest")
_TUS: Final = ("Tus-Resumable", "Upload-Offset", "Upload-Complete", "Upload-Expires", "Upload-Limit")
_DISCOVERY: Final = ("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm",
                     "Upload-Limit", "Allow")  # fmt: skip
_HEADERS: Final[Mapping[tuple[str, str, int], tuple[str, ...]]] = {
    ("GET", FILE, 200): (*_BYTES, "Link"),
    ("GET", FILE, 206): (*_BYTES, "Content-Range"),
    ("GET", FILE, 304): _VERSION,
    ("GET", FILE, 307): ("Location",),
    ("GET", FILE, 416): ("Content-Range",),
    ("PUT", FILE, 202): ("Location", "Idempotent-Replayed"),
    ("POST", FILE, 201): ("Location",),
    ("POST", "/api/v1/transfers", 202): ("Location", "Idempotent-Replayed"),
    ("POST", "/api/v1/transfers/bulk", 202): ("Location", "Idempotent-Replayed"),
    ("POST", "/api/v1/manifests", 201): ("Location", "Idempotent-Replayed"),
    ("GET", "/api/v1/events/ws", 101): ("Sec-WebSocket-Protocol",),
    ("GET", "/api/v1/events/ws", 426): ("Upgrade",),
    ("POST", _UPLOADS, 201): (*_TUS, "Location"),
    ("POST", _UPLOADS, 412): ("Tus-Version",),
    ("OPTIONS", _UPLOADS, 204): _DISCOVERY,
    ("OPTIONS", _UPLOAD, 204): _DISCOVERY,
    ("HEAD", _UPLOAD, 200): (*_TUS, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat"),
    ("HEAD", _UPLOAD, 204): (*_TUS, "Upload-Length"),
    ("PATCH", _UPLOAD, 200): _TUS,
    ("PATCH", _UPLOAD, 204): _TUS,
    ("PATCH", _UPLOAD, 409): ("Upload-Offset", "Upload-Complete"),
    ("PATCH", _UPLOAD, 412): ("Tus-Version",),
    ("DELETE", _UPLOAD, 204): ("Tus-Resumable",),
    ("POST", _WEBHOOKS, 201): ("Location",),
}
"""Method, path and status → names. Those of 401, 429 and 503, and of pages, are added by rule."""

_ABOUT: Final[Mapping[str, str]] = {
    "Accept-Ranges": "whether parts of it can be asked for",
    "Allow": "the methods that are possible here",
    "Content-Disposition": "a safe file name to save it under (RFC 6266, RFC 8187)",
    "Content-Range": "which bytes of how many (RFC 9110 §14.4)",
    "ETag": "the version of the file, for If-Match, If-None-Match and If-Range",
    "Idempotent-Replayed": "'true': this Idempotency-Key had been accepted before; nothing was done twice",
    "Last-Modified": "when the file was changed last",
    "Link": 'the next page, rel="next" (RFC 8288)',
    "Location": "where to look further",
    "Repr-Digest": "digests that the storage vouches for (RFC 9530)",
    "Retry-After": "seconds after which to try again",
    "Sec-WebSocket-Protocol": "scigate.v1",
    "Tus-Checksum-Algorithm": "what Upload-Checksum may name",
    "Tus-Extension": "the extensions of tus 1.0 that are spoken",
    "Tus-Max-Size": "bytes of the largest upload",
    "Tus-Resumable": "the version of tus that is spoken; only to tus clients",
    "Tus-Version": "the versions of tus that are spoken",
    "Upgrade": "websocket",
    "Upload-Complete": "?1 when all bytes are here; only to clients of the IETF draft",
    "Upload-Concat": "partial, or final and the URLs of its parts",
    "Upload-Defer-Length": "1: the length has not been said yet",
    "Upload-Expires": "when the upload is given up if nothing more arrives",
    "Upload-Length": "bytes of the whole",
    "Upload-Limit": "the limits of uploads (IETF draft)",
    "Upload-Metadata": "as it was given",
    "Upload-Offset": "how many bytes are here, durably: go on there",
    "WWW-Authenticate": "how to prove who you are (RFC 6750)",
}
_INTEGERS: Final = frozenset({"Retry-After", "Upload-Offset", "Upload-Length", "Tus-Max-Size"})


def refusals(route: Route) -> list[int]:
    """Every status with which a request may be refused."""
    found = ALWAYS | _BY_RULE[route.rule] | set(route.refusals) | _REFUSALS.get(_key(route), frozenset())
    if not (route.method in SAFE or route.harmless or route.rule is Rule.ANYONE):
        found |= {403}  # to who may only look
    if route.parameters:
        found |= {404}  # nothing has such a name
    if route.body is not None and not isinstance(route.body, str):
        found |= {415}
    if route.storage and route.rule in (Rule.STORAGE_READ, Rule.STORAGE_WRITE):
        found |= _STORAGE_SAYS
    if route.rule is Rule.TRANSFER and route.method == "POST":
        found |= {409}  # a wish that does not fit the state
    return sorted(found)


def other_statuses(route: Route) -> tuple[int, ...]:
    """Statuses of success beside ``route.status``."""
    return tuple(dict.fromkeys((*route.other_statuses, *_OTHER_STATUSES.get(_key(route), ()))))


def headers(route: Route, status: int) -> dict[str, Any]:
    """The headers that an answer of this status may have, as OpenAPI describes them."""
    names = list(_HEADERS.get((*_key(route), status), ()))
    if status == route.status and is_page(route.answer):
        names.append("Link")
    names += {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    return {name: {"description": _ABOUT[name], "schema": _schema(name)} for name in dict.fromkeys(names)}


def phrase(status: int) -> str:
    """What a status means, in the words of HTTP."""
    return CHECKSUM_MISMATCH if status == 460 else HTTPStatus(status).phrase


def is_page(answer: type[BaseModel] | str | None) -> bool:
    """Whether it is one page of a list."""
    return isinstance(answer, type) and re.match(r"Page\[", answer.__name__) is not None


def keys() -> set[tuple[str, str]]:
    """The operations of which something is said here; the tests hold them against the table."""
    return set(_REFUSALS) | set(_OTHER_STATUSES) | {(method, path) for method, path, _ in _HEADERS}


def _schema(name: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0} if name in _INTEGERS else {"type": "string"}


def _key(route: Route) -> tuple[str, str]:
    return route.method, route.path
