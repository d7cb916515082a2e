"""Locations of the storage ``home`` as paths of this machine, and files that are sent or fetched, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scigate.gateway_api.client import Gateway
from scigate.gateway_api.client.arguments import location
from scigate.gateway_api.client.upload import walk

from .problem import Refusal

MOST_SENT: Final = 10_000
MOST_FETCHED: Final = 100_000


def local_path(root: Path, text: str, *, hidden: bool) -> Path:
    """Where ``home:/…`` is. ``Refusal`` if a link leads out of the root, or if it is hidden and those are not shown."""
    path = root / location(text).path
    if not hidden and is_hidden(location(text).path):
        raise Refusal(404, "not-found", f"There is no file {text!r}: names that begin with '.' are hidden here.",
                      next_step="Choose another name, or set c.ContentsManager.allow_hidden.")  # fmt: skip
    if not path.resolve().is_relative_to(root.resolve()):
        raise Refusal(422, "invalid-name", f"{text!r} leads out of the files of this server.",
                      next_step="Name what is below the server's root folder.")  # fmt: skip
    return path


def is_hidden(path: str) -> bool:
    """Whether one of its names begins with a dot, as Jupyter's contents manager asks it."""
    return any(name.startswith(".") for name in path.split("/"))


def to_send(
    root: Path, pairs: list[tuple[str, str]], refused: dict[str, str], *, hidden: bool
) -> list[tuple[str, str]]:
    """(local path, destination) of each file; folders with all below them, but no links: ``refused`` says why.
    ``Refusal`` if there is nothing, or more than one transfer holds."""
    found: list[tuple[str, str]] = []
    for source, destination in pairs:
        below = _below(local_path(root, source, hidden=hidden), source, destination, refused)
        found += [pair for pair in below if hidden or not is_hidden(Path(pair[0]).relative_to(root).as_posix())]
        if len(found) > MOST_SENT:
            raise Refusal(
                422, "too-many-files", f"These are more than {MOST_SENT} files.",
                next_step="Send them in parts, or in a notebook with Gateway().put(folder, destination).",
            )  # fmt: skip
    if not found:
        raise Refusal(422, "nothing-to-send", "There is no file in this folder.", next_step="Choose another one.")
    return found


def to_fetch(gateway: Gateway, root: Path, pairs: list[tuple[str, str]], *, hidden: bool) -> list[tuple[str, str, int]]:
    """(source, local path, size) of each file; folders with all below them. ``GatewayError``, ``Refusal``."""
    found: list[tuple[str, str, int]] = []
    taken: set[str] = set()
    for source, destination in pairs:
        place = destination.rstrip("/") + "/" if source.endswith("/") else destination
        for name, below, size in _entries(gateway, source):
            target = place + below if place.endswith("/") else place
            local = str(local_path(root, target, hidden=hidden))
            if local in taken:
                raise Refusal(422, "same-destination", f"Two files would be fetched to {target!r}.",
                              next_step="Give each a place of its own.")  # fmt: skip
            taken.add(local)
            found.append((name, local, size))
            if len(found) > MOST_FETCHED:
                raise Refusal(
                    422, "too-many-files", f"These are more than {MOST_FETCHED} files.",
                    next_step="Fetch them in parts, or in a notebook with Gateway().get_folder(source, folder).",
                )  # fmt: skip
    return found


def _below(path: Path, source: str, destination: str, refused: dict[str, str]) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file, name in walk(path, refused):
            yield str(file), destination.rstrip("/") + "/" + name
    elif path.is_file() and not source.endswith("/"):
        yield str(path), destination + path.name if destination.endswith("/") else destination
    else:
        raise Refusal(404, "not-found", f"There is no file {source!r}.", next_step="Look at what is in home:/.")


def _entries(gateway: Gateway, source: str) -> Iterator[tuple[str, str, int]]:
    """(location, path below the destination, size)."""
    if not source.endswith("/"):
        entry = gateway.stat(source)
        yield source, entry.name, entry.size
        return
    for entry in gateway.ls(source, recursive=True):
        yield entry.location, entry.location.removeprefix(source), entry.size
