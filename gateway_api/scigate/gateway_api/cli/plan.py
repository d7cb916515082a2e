"""``cp --dry-run``: what would be copied, without copying."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import Exit
from .output import Common, emit, plural, say, say_of
from .places import Kind, Place

if TYPE_CHECKING:
    from ..client import Gateway

Planned = tuple[str, str, int | None]
"""Source, destination, bytes (None: not known before it is fetched)."""


def dry_run(common: Common, gateway: Gateway, places: list[Place], target: Place) -> int:
    """Print a line for each file. Whether a destination exists is decided when it is really copied."""
    from ..client.progress import printable, size

    count = total = 0
    for place in places:
        for source, destination, length in _planned(gateway, place, target):
            count, total = count + 1, total + (length or 0)
            if common.json:
                emit({"source": source, "destination": destination, "size": length})
            else:
                click.echo(f"{length if length is not None else '?':>15}  {printable(f'{source} → {destination}')}")
    say(f"{plural(count, 'file')}, {size(total)} would be copied; nothing was.")
    return Exit.OK


def _planned(gateway: Gateway, place: Place, target: Place) -> Iterator[Planned]:
    if place.kind is Kind.URL:
        yield place.text, _named(target, place.text.split("?")[0].rpartition("/")[2]), None
    elif place.kind is Kind.HERE:
        yield from _here(place, target)
    elif place.is_folder:
        for entry in gateway.ls(place.text, recursive=True):
            yield entry.location, _below(target, entry.location[len(place.text) :]), entry.size
    else:
        entry = gateway.stat(place.text)
        yield entry.location, _named(target, entry.name), entry.size


def _here(place: Place, target: Place) -> Iterator[Planned]:
    from ..client.upload import look, walk

    if not place.is_folder:
        yield place.text, _named(target, Path(place.text).name), look(Path(place.text)).size
        return
    refused: dict[str, str] = {}
    for path, name in walk(Path(place.text), refused):
        yield str(path), _below(target, name), os.path.getsize(path)
    for refused_path, reason in refused.items():
        say_of(f"Would not be sent: {refused_path}: {reason}", color="red")


def _named(target: Place, name: str) -> str:
    return _below(target, name) if target.is_folder else target.text


def _below(target: Place, name: str) -> str:
    return f"{target.text.rstrip('/') if target.kind is Kind.HERE else target.text.removesuffix('/')}/{name}"
