"""Uploads under way: looking at them, and ending them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from .output import Common, asks_gateway, columns, emit, say

if TYPE_CHECKING:
    from ..client import Upload

UNDER_WAY: Final = ("RECEIVING", "RECEIVED")


@click.group("uploads", invoke_without_command=True)
@click.option("--all", "ended", is_flag=True, help="Also those that have ended lately.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="Stop after this many.")
@asks_gateway
@click.pass_context
def uploads(context: click.Context, ended: bool, limit: int) -> None:
    """List your uploads that are under way, newest first: what has arrived at the gateway, and at the storage.

    One whose sender is gone is kept until the time in the column EXPIRES; the command that began it goes on with it.
    """
    if context.invoked_subcommand is not None:
        return
    common = context.find_object(Common) or Common()
    with common.gateway() as gateway:
        wanted = (upload for upload in gateway.uploads() if ended or upload.state in UNDER_WAY)
        found = list(islice(wanted, limit))
    if common.json:
        for upload in found:
            emit(upload)
    elif found:
        names = ("ID", "STATE", "SIZE", "ARRIVED", "STORED", "HELD", "EXPIRES", "TO")
        columns([_row(upload) for upload in found], names)
    else:
        say("No upload is under way. 'scigate put FILE STORAGE:/FOLDER/' begins one.")


@uploads.command("cancel")
@click.argument("ids", nargs=-1, required=True)
@asks_gateway
@click.pass_obj
def cancel(common: Common, ids: tuple[str, ...]) -> None:
    """End uploads: what has arrived of them is removed, and nothing is delivered."""
    with common.gateway() as gateway:
        for id in ids:
            gateway.cancel_upload(id)
            emit({"cancelled": id}) if common.json else say(f"Cancelled {id}; nothing of it is delivered.")


def _row(upload: Upload) -> tuple[str, ...]:
    from ..client.progress import size

    expires = upload.expires.astimezone().strftime("%Y-%m-%d %H:%M") if upload.expires else ""
    whole = "?" if upload.size is None else size(upload.size)
    legs = (_part(leg.bytes, upload.size) for leg in (upload.arrived, upload.stored))
    held = size(upload.held) if upload.held else ""
    return upload.id, str(upload.state), whole, *legs, held, expires, upload.destination or ""


def _part(count: int, whole: int | None) -> str:
    from ..client.progress import size

    return f"{100 * count // whole} %" if whole else size(count)
