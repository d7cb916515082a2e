"""The commands that move data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from .complete import LocationType
from .following import follow, tell
from .output import Common, asks_gateway, say
from .places import Kind, Place, read_place
from .when import asks_when

if TYPE_CHECKING:
    from ..client import Gateway, TransferHandle

OVERWRITE = ["fail", "skip-same", "newer", "overwrite"]
TIMES = ("not_before", "deadline")
VERIFY = ["auto", "reread", "size"]


@click.command("cp")
@click.argument("sources", nargs=-1, metavar="SOURCES...", type=LocationType(files=True))
@click.argument("destination", type=LocationType(files=True))
@click.option(
    "--overwrite", type=click.Choice(OVERWRITE), default="fail", show_default=True, help="If the destination exists."
)
@click.option("--verify", type=click.Choice(VERIFY), default="auto", show_default=True, help="How a file is proven.")
@click.option("--wait/--no-wait", default=True, help="Wait until it has ended. [default: wait]")
@click.option(
    "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the transfer goes on."
)
@click.option("--label", help="A name for the transfer.")
@asks_when
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="9 goes first.")
@click.option("--dry-run", is_flag=True, help="Only say what would be copied.")
@asks_gateway
@click.pass_obj
def cp(common: Common, /, sources: tuple[str, ...], destination: str, **options: Any) -> int:
    """Copy files and folders.

    \b
    scigate cp run7/a.h5 archive:/run7/              here → storage
    scigate cp run7/ archive:/run7/                  all that is in a folder
    scigate cp archive:/run7/a.h5 .                  storage → here
    scigate cp lab:/run7/ archive:/run7/             storage → storage
    scigate cp https://example.org/a.h5 archive:/    URL → storage

    A destination ending in '/' keeps the name of a file; of a folder, what is in it goes there without the folder's own
    name. Empty folders and times of change are not copied. 'newer' also replaces a file of another size. Ctrl-C while
    waiting does not end the transfer.
    """
    places, target = [read_place(source) for source in sources], read_place(destination)
    move = _way(places, target)
    if options.pop("dry_run"):
        from .plan import dry_run

        with common.gateway() as gateway:
            return dry_run(common, gateway, places, target)
    with common.gateway() as gateway:
        return move(common, gateway, places, target, options)


@click.command("put")
@click.argument("sources", nargs=-1, metavar="SOURCES...", type=click.Path())
@click.argument("destination", type=LocationType())
@click.option(
    "--overwrite", type=click.Choice(OVERWRITE), default="fail", show_default=True, help="If the destination exists."
)
@click.option("--wait/--no-wait", default=True, help="Wait until it has ended. [default: wait]")
@click.option(
    "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the transfer goes on."
)
@click.option("--label", help="A name for the transfer.")
@asks_when
@asks_gateway
@click.pass_obj
def put(common: Common, /, sources: tuple[str, ...], destination: str, **options: Any) -> int:
    """Send files and folders of this machine to a storage.

    A destination ending in '/' keeps the name of a file; of a folder, what is in it goes there. Broken off, by a cut
    connection, Ctrl-C or a reboot, the same command goes on where it stopped. Once everything is sent, nothing here is
    needed any more: leaving then does not end the transfer. A link that is named is followed, one in a
    folder is not.
    """
    places, target = [Place(Kind.HERE, source) for source in sources], read_place(destination)
    if sources and target.kind is not Kind.STORAGE:
        raise click.UsageError(f"{destination!r} is not a location at a storage: write STORAGE:/PATH.")
    _way(places, target)
    with common.gateway() as gateway:
        return _send(common, gateway, places, target, options)


@click.command("get")
@click.argument("source", type=LocationType())
@click.argument("destination", default=".", type=click.Path())
@click.option("--overwrite", is_flag=True, help="Replace a file that exists here.")
@click.option("--archive", type=click.Choice(["tar", "zip"]), help="A folder as one such file.")
@asks_gateway
@click.pass_obj
def get(common: Common, source: str, destination: str, overwrite: bool, archive: str | None) -> int:
    """Fetch a file, or a folder (its name ends in '/'), to this machine.

    It arrives under a hidden name, is checked, and appears when it is whole. Broken off, the same command goes on where
    it stopped, and says so; what of it was damaged since is fetched again.
    """
    place = read_place(source)
    if place.kind is not Kind.STORAGE:
        raise click.UsageError(f"{source!r} is not a location at a storage: write STORAGE:/PATH.")
    if archive and not place.is_folder:
        raise click.UsageError(f"{source!r} is a file: only a folder, its name ends in '/', comes as an archive.")
    with common.gateway() as gateway:
        if archive:
            from .archiving import fetch_archive

            return fetch_archive(common, gateway, source, destination, archive, overwrite=overwrite)
        policy = "overwrite" if overwrite else "fail"
        return _fetch(common, gateway, [place], Place(Kind.HERE, destination), {"overwrite": policy})


Way = Callable[[Common, "Gateway", list[Place], Place, dict[str, Any]], int]


def _way(places: list[Place], target: Place) -> Way:
    """Which way the data goes; ``UsageError`` if there is none."""
    kinds = {place.kind for place in places}
    if not places:
        raise click.UsageError(f"Nothing says where to: name what {target.text} is copied to as well.")
    if len(places) > 1 and not target.is_folder:
        raise click.UsageError(f"With several sources the destination is a folder: write {target.text}/ .")
    _refuse_twins(places, target)
    if target.kind is Kind.URL:
        raise click.UsageError("A URL can be a source, not a destination. Copy to STORAGE:/PATH or to a folder here.")
    if target.kind is Kind.STORAGE:
        if kinds == {Kind.HERE}:
            return _send
        if Kind.HERE not in kinds:
            return _submit
        raise click.UsageError("Files of this machine and of storages or URLs do not go in one command: make it two.")
    if kinds == {Kind.STORAGE}:
        return _fetch
    if Kind.HERE in kinds:
        raise click.UsageError("Source and destination are both on this machine: that is for plain 'cp'.")
    raise click.UsageError("A URL goes to a storage first: scigate cp URL STORAGE:/PATH, then scigate get.")


def _refuse_twins(places: list[Place], target: Place) -> None:
    """Of two files with one name one would take the place of the other, whatever is to be replaced."""
    seen: dict[str, str] = {}
    for place in places:
        if place.is_folder or place.kind is Kind.URL:
            continue
        name = place.text.rpartition("/")[2]
        if (first := seen.setdefault(name, place.text)) != place.text:
            both = f"{first} and {place.text} would both be copied to {name!r} in {target.text}"
            raise click.UsageError(f"{both}: give each a folder of its own.")


def _send(common: Common, gateway: Gateway, places: list[Place], target: Place, options: dict[str, Any]) -> int:
    from .local import send

    _refuse(options, priority=5, verify="auto")
    times = {name: options[name] for name in TIMES}
    handles, refused = send(gateway, places, target.text, options["overwrite"], options["label"], **times)
    if not handles and not refused:
        say("Nothing to copy: the folder has no files.")
    return _finish(common, handles, options) or refused


def _submit(common: Common, gateway: Gateway, places: list[Place], target: Place, options: dict[str, Any]) -> int:
    _check_storages(gateway, [*places, target])
    pairs = [(place.text, target.text) for place in places]
    wanted = {name: options[name] for name in ("overwrite", "verify", "label", "priority", *TIMES)}
    return _finish(common, [gateway.submit(pairs, **wanted)], options)


def _check_storages(gateway: Gateway, places: list[Place]) -> None:
    """A storage that does not exist ends every command in the same way."""
    for name in sorted({place.text.partition(":")[0] for place in places if place.kind is Kind.STORAGE}):
        gateway.storage(name)


def _fetch(common: Common, gateway: Gateway, places: list[Place], target: Place, options: dict[str, Any]) -> int:
    from .local import fetch

    if options["overwrite"] not in ("fail", "overwrite"):
        raise click.UsageError("To this machine, --overwrite is 'fail' or 'overwrite'.")
    _refuse(options, label=None, priority=5, verify="auto", wait=True, not_before=None, deadline=None)
    return fetch(common, gateway, places, target.text, overwrite=options["overwrite"] == "overwrite")


def _finish(common: Common, handles: Sequence[TransferHandle], options: dict[str, Any]) -> int:
    if options["wait"] and handles:
        return follow(common, handles, options["timeout"])
    tell(common, handles)
    return 0


def _refuse(options: dict[str, Any], **meaningless: Any) -> None:
    """An option that would do nothing is refused rather than ignored."""
    for name, default in meaningless.items():
        if options.get(name, default) != default:
            raise click.UsageError(
                f"--{name.replace('_', '-')} means nothing when files go to or from this machine directly."
            )
