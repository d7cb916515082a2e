"""Completing storage names, paths and transfer ids by asking the gateway; silent when it does not answer at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from ..client import Gateway

AT_MOST: Final = 200
T = TypeVar("T")


class LocationType(click.ParamType):  # type: ignore[type-arg]
    """``storage:/path``; with ``files`` also a file of this machine, whose names the shell completes itself."""

    name = "location"

    def __init__(self, *, files: bool = False) -> None:
        self._files = files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        local = [CompletionItem(incomplete, type="file")] if self._files and ":/" not in incomplete else []
        return local + [CompletionItem(value) for value in _ask(incomplete)]


class TransferId(click.ParamType):  # type: ignore[type-arg]
    """The id of a transfer."""

    name = "id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        def ids(gateway: Gateway) -> list[CompletionItem]:
            found = (handle.transfer for handle in islice(gateway.transfers(), AT_MOST))
            return [CompletionItem(t.id, help=str(t.label or t.state)) for t in found if t.id.startswith(incomplete)]

        return _quickly(ids)


def _ask(incomplete: str) -> list[str]:
    if ":/" not in incomplete:
        return _quickly(lambda g: [f"{s.name}:/" for s in g.storages() if s.name.startswith(incomplete)])
    folder = incomplete[: incomplete.rindex("/") + 1]
    found = _quickly(lambda g: [entry.location for entry in islice(g.ls(folder, page_size=AT_MOST), AT_MOST)])
    return [name for name in found if name.startswith(incomplete)]


def _quickly(ask: Callable[[Gateway], list[T]]) -> list[T]:
    from datetime import timedelta

    from ..client import Gateway, GatewayError

    try:
        with Gateway(patience=timedelta(0), timeout=timedelta(seconds=1)) as gateway:
            return ask(gateway)
    except GatewayError:
        return []
