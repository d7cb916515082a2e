"""Commands that look at and steer transfers."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from .complete import TransferId
from .output import Common, asks_gateway, columns, emit, say

if TYPE_CHECKING:
    from datetime import datetime

    from ..client import Gateway, Transfer, TransferFile, TransferHandle, Upload
    from ..resources import Cause

STATES = ["queued", "active", "waiting", "paused", "cancelling", "done", "failed", "cancelled"]
SAID_ABOVE = ("transfer", "owner", "label", "digests")  # in the data of events, and in the lines above them
RECEIVING = "receiving"  # the code of a cause: the sender's bytes are waited for
SCHEDULED = "scheduled"  # its time is waited for
COLORS = {"DONE": "green", "FAILED": "red", "CANCELLED": "yellow", "WAITING": "yellow", "PAUSED": "yellow"}


@click.command("transfers")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Only those in this state.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="Stop after this many.")
@asks_gateway
@click.pass_obj
def transfers(common: Common, state: str | None, limit: int) -> None:
    """List your transfers, newest first."""
    with common.gateway() as gateway:
        found = [handle.transfer for handle in islice(gateway.transfers(state.upper() if state else None), limit)]
    if common.json:
        for transfer in found:
            emit(transfer)
    elif found:
        columns([_row(transfer) for transfer in found], ("ID", "STATE", "FILES", "BYTES", "CREATED", "LABEL"))
    else:
        say("There is no such transfer. 'scigate cp SOURCE DESTINATION' submits one.")


@click.command("show")
@click.argument("id", type=TransferId())
@click.option("--files", is_flag=True, help="List all its files, not only the failed ones.")
@click.option("--events", is_flag=True, help="List its journal.")
@click.option("-w", "--watch", is_flag=True, help="Wait until it has ended, showing progress.")
@asks_gateway
@click.pass_obj
def show(common: Common, id: str, files: bool, events: bool, watch: bool) -> int:
    """Show a transfer: its state, why it waits or failed, its files and its journal."""
    from .following import follow

    with common.gateway() as gateway:
        handle = gateway.transfer(id)
        if watch:
            return follow(common, [handle])
        if common.json:
            _as_json(handle, files, events)
        else:
            _as_text(gateway, handle, files, events)
    return 0


def _steer(name: str, done: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("ids", nargs=-1, required=True, type=TransferId())
    @asks_gateway
    @click.pass_obj
    def steer(common: Common, ids: tuple[str, ...]) -> None:
        with common.gateway() as gateway:
            for id in ids:
                transfer = getattr(gateway.transfer(id), name)()
                emit(transfer) if common.json else say(f"{done} {id}: it is {transfer.state} now.")

    return steer


pause = _steer("pause", "Paused", "Pause transfers at their next block; what is done stays done.")
resume = _steer("resume", "Resumed", "Go on with paused transfers.")
cancel = _steer("cancel", "Cancelled", "End transfers. Finished files stay, what is half written is removed.")
retry = _steer("retry", "Retrying", "Try the failed and waiting files of transfers again, now.")


def _row(transfer: Transfer) -> tuple[str, ...]:
    from ..client.progress import size

    files = f"{transfer.files.done}/{transfer.files.total}"
    if transfer.files.failed:
        files += f" ({transfer.files.failed} failed)"
    created = transfer.created.astimezone().strftime("%Y-%m-%d %H:%M")
    return transfer.id, str(transfer.state), files, size(transfer.bytes_total), created, transfer.label or ""


def _as_json(handle: TransferHandle, files: bool, events: bool) -> None:
    document: dict[str, Any] = handle.transfer.model_dump(mode="json")
    if files:
        document["all_files"] = [file.model_dump(mode="json") for file in handle.files()]
    if events:
        document["events"] = [event.model_dump(mode="json") for event in handle.events()]
    emit(document)


def _as_text(gateway: Gateway, handle: TransferHandle, files: bool, events: bool) -> None:
    from ..client import FileState
    from ..client.progress import line, printable

    transfer = handle.transfer
    label = f"  {printable(transfer.label)}" if transfer.label else ""
    click.secho(f"{transfer.id}  {transfer.state}{label}", bold=True, fg=COLORS.get(transfer.state))
    click.echo(f"  {line(transfer)}")
    click.echo(f"  overwrite {transfer.overwrite}, priority {transfer.priority}, proof {transfer.proof or '-'}")
    uploads = _uploads_of(gateway, handle)
    if uploads:
        click.echo(f"  {_first_leg(uploads)}")
    expires = min((upload.expires for upload in uploads if upload.expires), default=None)
    if transfer.cause and transfer.cause.message:
        click.echo(f"  {printable(transfer.cause.message)}\n  → {printable(_advice(transfer.cause, expires))}")
    if transfer.state == "PAUSED":
        click.echo(f"  → resume with: scigate resume {transfer.id}")
    for file in handle.files(None if files else FileState.FAILED):
        _show_file(file, expires)
    for event in handle.events() if events else ():
        said = {key: value for key, value in event.data.items() if key not in SAID_ABOVE}
        data = ", ".join(f"{key} {value}" for key, value in said.items())
        click.echo(f"  {event.time:%Y-%m-%d %H:%M:%S}Z  {event.type.removeprefix('scigate.')}  {printable(data)}")


def _uploads_of(gateway: Gateway, handle: TransferHandle) -> list[Upload]:
    """The uploads that a transfer is made of, as long as it is under way: they are not older than it is."""
    transfer = handle.transfer
    first = None if transfer.state.is_final else next(handle.files(), None)
    if first is None or not first.source.startswith("upload:"):
        return []
    found = []
    for upload in gateway.uploads():
        if upload.transfer == transfer.id:
            found.append(upload)
        if len(found) == transfer.files.total or upload.created < transfer.created - timedelta(minutes=1):
            break
    return found


def _first_leg(uploads: list[Upload]) -> str:
    from ..client.progress import size

    arrived = sum(upload.arrived.bytes for upload in uploads)
    whole = [upload.size for upload in uploads]
    total = size(sum(filter(None, whole))) if None not in whole else "?"
    rate = sum(upload.arrived.rate or 0 for upload in uploads)
    moving = f" · {size(rate)}/s" if rate else ""
    return f"{size(arrived)} of {total} have arrived at the gateway{moving}"


def _advice(cause: Cause, expires: datetime | None) -> str:
    """What to do; of an upload that waits for its sender, until when."""
    from ..client.advice import for_people

    if cause.code != RECEIVING:
        return for_people(cause.code, cause.next_step)
    until = f", until {expires.astimezone():%Y-%m-%d %H:%M}" if expires else ""
    return f"If its sender has ended, give the same put again{until}: it goes on where it stopped."


def _show_file(file: TransferFile, expires: datetime | None) -> None:
    from ..client.progress import printable

    done = "SKIPPED" if file.skipped else str(file.state)
    proof = f"  proof {file.proof}" if file.proof else ""
    click.echo(f"  {done:10} {printable(file.source)} → {printable(file.destination)}{proof}")
    for name, value in file.digests.items():
        click.echo(f"             {name} {value}")
    if file.cause:
        advice = printable(_advice(file.cause, file.next_try or expires))
        click.echo(f"             {printable(file.cause.message)}\n             → {advice}")
    told = file.cause is not None and file.cause.code in (RECEIVING, SCHEDULED)  # the cause says what is waited for
    if file.next_try and not file.finished and not told:
        click.echo(f"             tried again at {file.next_try.astimezone():%Y-%m-%d %H:%M:%S}")
