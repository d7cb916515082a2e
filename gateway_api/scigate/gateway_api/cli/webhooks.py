"""Webhooks: having events sent to a program of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .output import Common, asks_gateway, columns, emit, say, say_of

if TYPE_CHECKING:
    from ..client import Webhook


@click.group("webhooks", invoke_without_command=True)
@asks_gateway
@click.pass_context
def webhooks(context: click.Context) -> None:
    """List your webhooks: where events are sent, how far they are, and why they fail.

    Each goes on behind the event in the column BEHIND: for a new one that is the last event before it was made.
    """
    from ..client.advice import for_people

    if context.invoked_subcommand is not None:
        return
    common = context.find_object(Common) or Common()
    with common.gateway() as gateway:
        found = list(gateway.webhooks)
    if common.json:
        for webhook in found:
            emit(webhook)
    elif found:
        columns([_row(webhook) for webhook in found], ("ID", "STATE", "BEHIND", "FAILURES", "URL"))
        for webhook in found:
            if webhook.cause:
                say_of(f"{webhook.id}: {webhook.cause.message}")
                say_of(f"→ {for_people(webhook.cause.code, webhook.cause.next_step)}")
    else:
        say("You have no webhook. 'scigate webhooks add URL' makes one.")


@webhooks.command("add")
@click.argument("receiver", metavar="URL")  # not "url": that is where the gateway is
@click.option("--topic", "topics", multiple=True, default=["transfers"], show_default=True,
              help="'transfers', or 'transfer:ID'; may be given several times.")  # fmt: skip
@click.option("--type", "types", multiple=True, help="Only this type, e.g. 'scigate.transfer.*'; may be repeated.")
@asks_gateway
@click.pass_obj
def add(common: Common, receiver: str, topics: tuple[str, ...], types: tuple[str, ...]) -> None:
    """Have events sent to URL from now on. Prints the secret of their signatures, which is shown this once."""
    with common.gateway() as gateway:
        created = gateway.webhooks.add(receiver, topics=topics, types=types)
    if common.json:
        emit(created)
        return
    say(f"Made the webhook {created.webhook.id}. Its secret is not shown again:")
    click.echo(created.secret)


@webhooks.command("remove")
@click.argument("ids", nargs=-1, required=True)
@asks_gateway
@click.pass_obj
def remove(common: Common, ids: tuple[str, ...]) -> None:
    """Send nothing more to these webhooks, and forget them."""
    with common.gateway() as gateway:
        for id in ids:
            gateway.webhooks.remove(id)
            emit({"removed": id}) if common.json else say(f"Removed {id}.")


@webhooks.command("test")
@click.argument("id")
@asks_gateway
@click.pass_obj
def test(common: Common, id: str) -> int:
    """Have a test event sent now. Fails if it is not accepted."""
    with common.gateway() as gateway:
        told = gateway.webhooks.test(id)
    if common.json:
        emit(told)
    elif told.cause is None:
        say(f"Accepted: {told.id}.")
    else:
        say_of(f"Not accepted: {told.cause.message}")
        say_of(f"→ {told.cause.next_step}")
    return 0 if told.accepted else 1


@webhooks.command("replay")
@click.argument("id")
@click.option("--after", required=True, metavar="EVENT", help="Id of the event behind which to begin; 0: all of them.")
@asks_gateway
@click.pass_obj
def replay(common: Common, id: str, after: str) -> None:
    """Deliver again what came behind an event."""
    with common.gateway() as gateway:
        _say_state(common, gateway.webhooks.replay(id, after))


@webhooks.command("enable")
@click.argument("id")
@asks_gateway
@click.pass_obj
def enable(common: Common, id: str) -> None:
    """Try again now, also what was disabled; it goes on where it ended."""
    with common.gateway() as gateway:
        _say_state(common, gateway.webhooks.enable(id))


def _say_state(common: Common, webhook: Webhook) -> None:
    emit(webhook) if common.json else say(f"{webhook.id} is {webhook.state} and goes on behind {webhook.delivered}.")


def _row(webhook: Webhook) -> tuple[str, ...]:
    return webhook.id, str(webhook.state), webhook.delivered, str(webhook.failures), webhook.url
