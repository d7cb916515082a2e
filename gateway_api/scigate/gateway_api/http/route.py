"""What a row of the route table says, and what an endpoint gets and gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel
from tornado.web import RequestHandler

from ..actor import Actor
from ..policy import Rule
from ..resources import Request

if TYPE_CHECKING:
    from ..gateway import Gateway


class Query(Request):
    """Base of the query parameters of a route; an unknown parameter is an error."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as an endpoint sees it: who, and everything parsed and validated."""

    actor: Actor
    path: Mapping[str, str]
    query: Query
    body: Request | None
    idempotency_key: str | None
    url: Callable[..., str]
    """(path template, **parameters) → the URL path of another route, percent-encoded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answers; the HTTP layer writes it."""

    body: BaseModel | str | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


Endpoint: TypeAlias = "Callable[[Gateway, Call], Answer]"
Begun: TypeAlias = "tuple[Future[Any], Callable[[Any], Answer]]"
"""What is waited for, and what then makes the answer of it."""


@dataclass(frozen=True)
class Route:
    """One row: a method and path, who may call it, what goes in and what comes out.

    ``answer`` and ``body`` are models, or media types of what is not JSON.
    ``endpoint`` is a plain function, called in a thread; or a tornado handler where bytes are streamed.
    ``storage``: it may wait for a storage, so it runs in threads apart from those that only ask the database.
    ``quick``: whether its answer to a query takes so little, from a database on this machine, that a thread costs more.
    ``begun``: the same as ``endpoint`` in a moment, with an answer that comes when a commit is durable; None: not so.
    ``browser``: a page that a browser opens, see ``token_in``.
    ``harmless``: it changes nothing although its method says so, see ``check_writes``.
    ``overridable``: a POST with ``X-HTTP-Method-Override`` may stand for it.
    """

    method: str
    path: str
    rule: Rule
    summary: str
    endpoint: Endpoint | type[RequestHandler]
    answer: type[BaseModel] | str | None = None
    status: int = 200
    other_answers: tuple[type[BaseModel] | str, ...] = ()
    query: type[Query] = Query
    body: type[Request] | str | None = None
    other_bodies: tuple[str, ...] = ()
    other_statuses: tuple[int, ...] = ()
    """Besides ``status``, when all went well."""
    refusals: tuple[int, ...] = ()
    """Besides those that follow from ``rule``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers that matter beyond the usual: name → what it does."""
    storage: bool = False
    quick: Callable[[Query], bool] = lambda query: False
    begun: Callable[[Gateway, Call], Begun | None] | None = None
    browser: bool = False
    harmless: bool = False
    overridable: bool = False

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces = re.split(r"\{(\w+)\}", self.path)
        names = {"path": r"(?P<path>.*)"}
        return re.compile(
            "".join(
                names.get(piece, rf"(?P<{piece}>[^/]+)") if number % 2 else re.escape(piece)
                for number, piece in enumerate(pieces)
            )
        )

    def match(self, raw_path: str) -> dict[str, str] | None:
        """The path parameters if ``raw_path`` (still percent-encoded) is of this route; bytes are kept exactly."""
        found = self._pattern.fullmatch(raw_path)
        params = {name: _decoded(value) for name, value in found.groupdict().items()} if found else None
        return params if params is not None and all(map(_is_sound, params.items())) else None


def _is_sound(param: tuple[str, str]) -> bool:
    """Only a path may hold any byte; nothing else has such a name."""
    name, value = param
    return name == "path" or (value.isascii() and value.isprintable())


def _decoded(value: str) -> str:
    return unquote_to_bytes(value.encode("latin-1")).decode("utf-8", "surrogateescape")
