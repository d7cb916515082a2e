"""Commands that look at and change what is at a storage."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from .complete import LocationType
from .output import Common, asks_gateway, columns, emit, report, say, say_of

if TYPE_CHECKING:
    from ..client import Entry, Gateway


@click.command("ls")
@click.argument("location", required=False, type=LocationType())
@click.option("-r", "--recursive", is_flag=True, help="Every file at any depth.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Stop after this many.")
@asks_gateway
@click.pass_obj
def ls(common: Common, location: str | None, recursive: bool, limit: int | None) -> None:
    """List the storages, or what is in a folder.

    Columns of a folder: bytes, time of change, name. The list is streamed, so any size is fine.
    """
    with common.gateway() as gateway:
        if location is None:
            _list_storages(common, gateway)
        else:
            _list_entries(common, islice(_entries(gateway, location, recursive), limit))


@click.command("rm")
@click.argument("locations", nargs=-1, required=True, type=LocationType())
@click.option("-r", "--recursive", is_flag=True, help="Folders with all that is below them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@asks_gateway
@click.pass_obj
def rm(common: Common, locations: tuple[str, ...], recursive: bool, yes: bool) -> int:
    """Remove files, or empty folders (their name ends in '/'). One that fails does not keep the others."""
    from ..client import GatewayError, GatewayUnreachable
    from .exits import exit_for

    codes = [0]
    with common.gateway() as gateway:
        for position, location in enumerate(locations):
            try:
                _remove_all(common, gateway, location, yes) if recursive else _remove(common, gateway, location)
            except GatewayError as error:
                codes.append(exit_for(error))
                away = isinstance(error, GatewayUnreachable)
                for left in locations[position:] if away else [location]:
                    say_of(f"Not removed: {left}", color="red")
                report(error, codes[-1], common.json)
                if away:
                    break
    return max(codes)


@click.command("mkdir")
@click.argument("folders", nargs=-1, required=True, type=LocationType())
@asks_gateway
@click.pass_obj
def mkdir(common: Common, folders: tuple[str, ...]) -> None:
    """Make folders, and those above them; there already is fine."""
    with common.gateway() as gateway:
        for folder in folders:
            gateway.mkdir(folder)
            emit({"made": folder}) if common.json else say_of(f"Made {folder}")


@click.command("mv")
@click.argument("source", type=LocationType())
@click.argument("destination", type=LocationType())
@click.option("--overwrite", is_flag=True, help="Replace what is at the destination.")
@asks_gateway
@click.pass_obj
def mv(common: Common, source: str, destination: str, overwrite: bool) -> None:
    """Rename a file within its storage, at once; between storages use 'cp' and 'rm'."""
    if destination.endswith("/") and not source.endswith("/"):
        destination += source.rpartition("/")[2]
    with common.gateway() as gateway:
        gateway.move(source, destination, overwrite=overwrite)
    emit({"source": source, "destination": destination}) if common.json else say_of(f"Moved {source} → {destination}")


def _list_storages(common: Common, gateway: Gateway) -> None:
    storages = gateway.storages()
    if common.json:
        for storage in storages:
            emit(storage)
        return
    if not storages:
        say("There is no storage that you may use. An admin adds them under [storages.NAME] in scigate.toml.")
        return
    rows = [(f"{s.name}:/", s.type, _condition(s.state, s.read_only), s.summary) for s in storages]
    columns(rows, ("STORAGE", "TYPE", "STATE", "WHAT"))
    for storage in storages:
        if storage.cause:
            say_of(f"{storage.name}: {storage.cause.message} → {storage.cause.next_step}", color="yellow")


def _condition(state: str, read_only: bool) -> str:
    return f"{state}, read-only" if read_only else str(state)


def _entries(gateway: Gateway, location: str, recursive: bool) -> Iterator[Entry]:
    """A folder's content; a location without a trailing slash may be either."""
    from ..client import NotFound, RequestInvalid

    if not location.endswith("/") and not recursive:
        try:
            entry = gateway.stat(location)
        except (NotFound, RequestInvalid):
            pass  # an object store knows no folder without its slash
        else:
            if entry.kind != "folder":
                yield entry
                return
    yield from gateway.ls(location, recursive=recursive)


def _list_entries(common: Common, entries: Iterable[Entry]) -> None:
    from ..client.progress import printable

    for entry in entries:
        if common.json:
            emit(entry)
            continue
        time = entry.modified.astimezone().strftime("%Y-%m-%d %H:%M:%S") if entry.modified else ""
        size = "" if entry.kind == "folder" else str(entry.size)
        note = f"  ({entry.note})" if entry.note else ""
        click.echo(f"{size:>15}  {time:19}  {printable(entry.location)}{note}")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is here to answer: add --yes.")
    click.confirm(question, abort=True, err=True)


def _remove_all(common: Common, gateway: Gateway, location: str, yes: bool) -> None:
    if location.endswith("/"):
        _confirm(f"Remove everything below {location}?", yes)
        _remove_tree(common, gateway, location)
    else:
        _remove(common, gateway, location)


def _remove(common: Common, gateway: Gateway, location: str) -> None:
    gateway.delete(location)
    emit({"removed": location}) if common.json else say_of(f"Removed {location}")


def _remove_tree(common: Common, gateway: Gateway, folder: str) -> None:
    """Files first, as they are listed; then the folders, deepest first."""
    from ..client import NotFound

    parents = set()
    for entry in gateway.ls(folder, recursive=True):
        _remove(common, gateway, entry.location)
        parents.add(entry.location.rpartition("/")[0] + "/")
    folders = {folder, *parents, *_folders(gateway, folder)}
    for empty in sorted(folders, key=len, reverse=True):
        if not empty.endswith(":/"):
            try:
                _remove(common, gateway, empty)
            except NotFound:  # an object store has no folders of its own
                continue


def _folders(gateway: Gateway, folder: str) -> Iterator[str]:
    from ..client import NotFound

    try:
        for entry in list(gateway.ls(folder)):
            if entry.kind == "folder":
                yield entry.location
                yield from _folders(gateway, entry.location)
    except NotFound:
        return
