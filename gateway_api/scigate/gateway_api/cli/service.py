"""Commands that run the gateway."""

from __future__ import annotations

import click

from .output import Common, common, reads_settings, say


@click.command("demo")
@click.option("--once", is_flag=True, help="End by itself, with the right exit code.")
@common
def demo(once: bool) -> int:
    """Show the main job on this machine: real storages, real files, everything checked independently."""
    from ..demo import run

    return run(once=once)


@click.command("serve")
@click.option("--host", help="Listen here instead of where the settings say.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port; 0 takes a free one.")
@reads_settings
@click.pass_obj
def serve(common: Common, host: str | None, port: int | None) -> int:
    """Run the gateway until Ctrl-C or SIGTERM; transfers go on at the next start."""
    from ..settings import Settings
    from ..wiring import serve as run

    settings = Settings.load(common.config)
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if changes:
        settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changes)})
    if not settings.users:
        say("No user can log in yet: make a token with 'scigate token NAME'.", color="yellow")
    run(settings)
    return 0
