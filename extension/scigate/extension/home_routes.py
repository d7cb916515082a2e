"""Which gateway a request is for, when this server's files are a storage beside those of the hub's gateway. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from .headers import API
from .problem import Refusal

STORAGE: Final = "home"
JOB: Final = "home-"
"""How the ids of transfers begin that this server carries out."""


class Whose(StrEnum):
    """Who answers a request."""

    SERVICE = "service"  # the hub's gateway
    HOME = "home"  # the small gateway of the files of this server
    ASK = "ask"  # the one that knows the id
    JOB = "job"  # a transfer that this server carries out


def whose(method: str, target: str, headers: Mapping[str, str]) -> Whose:
    """By path and headers alone. ``target``: path and query from ``/api/v1`` on."""
    path, _, query = target.partition("?")
    words = [unquote(word, errors="surrogateescape") for word in path.removeprefix(API).strip("/").split("/")]
    if words[0] in ("files", "storages") and words[1:2] == [STORAGE]:
        return Whose.HOME
    if words[0] == "transfers" and words[1:2] and words[1].startswith(JOB):
        return Whose.JOB
    if words[0] in ("transfers", "uploads") and len(words) > 1 and words[1] != "bulk":
        return Whose.ASK
    if words == ["uploads"] and method == "POST":
        return Whose.HOME if is_home(_destination(query, headers)) else Whose.SERVICE
    return Whose.SERVICE


def is_home(location: object) -> bool:
    """Whether this is a location of the storage ``home``."""
    return isinstance(location, str) and location.startswith(STORAGE + ":/")


def whose_submission(request: Any) -> Whose:
    """Who carries out a transfer, by its request. ``Refusal`` for what no one can do as one transfer."""
    pairs = [pair for pair in _files(request) if isinstance(pair, dict)]
    sources = {_kind(pair.get("source")) for pair in pairs}
    destinations = {_kind(pair.get("destination")) for pair in pairs}
    if STORAGE not in sources | destinations:
        return Whose.SERVICE
    if destinations == {STORAGE} and sources <= {STORAGE, "url"}:
        return Whose.HOME
    if len(destinations) == 1 and (sources == {STORAGE} or (destinations == {STORAGE} and sources == {"storage"})):
        return Whose.JOB
    raise Refusal(
        422, "mixed-transfer", "These files cannot be one transfer: some come from this server's files or go to them, "
        "others do not.",
        next_step="Submit one transfer of what is sent from home:/, one of what is fetched to it, one of the rest.",
    )  # fmt: skip


def whose_change(request: Any) -> Whose:
    """Who does a move, or takes a folder that is to be sent, by its request."""
    given = request if isinstance(request, dict) else {}
    return Whose.HOME if is_home(given.get("source", given.get("destination"))) else Whose.SERVICE


def _files(request: Any) -> list[Any]:
    files = request.get("files") if isinstance(request, dict) else None
    return files if isinstance(files, list) else []


def _kind(location: object) -> str:
    if is_home(location):
        return STORAGE
    return "url" if isinstance(location, str) and "://" in location else "storage"


def _destination(query: str, headers: Mapping[str, str]) -> str | None:
    """Where an upload is to go: of tus in the metadata, of the IETF draft in the query."""
    for pair in headers.get("Upload-Metadata", "").split(","):
        name, _, value = pair.strip().partition(" ")
        if name == "destination":
            return _decoded(value)
    return next(iter(parse_qs(query).get("destination", [])), None)


def _decoded(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return None
