"""Commands that run the gateway."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

import click

from .output import Common, debug, emit, reads_settings, say

LINGER: Final = 3.0  # seconds


@click.command("demo")
@click.option("--no-hub", is_flag=True, help="JupyterLab alone, with the gateway in its server.")
@click.option("--terminal", is_flag=True, help="No Jupyter: move real data, cut and kill, check all of it, and print.")
@click.option("--once", is_flag=True, help="The same, and end by itself, with the right exit code.")
@debug
def demo(no_hub: bool, terminal: bool, once: bool) -> int:
    """Show SciGate on this machine: a JupyterHub with the gateway, real storages, and a notebook to begin with."""
    from ..demo import run, run_in_jupyter

    return run(once=once) if once or terminal else run_in_jupyter(hub=not no_hub)


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port; 0 takes a free one.")
@reads_settings
@click.pass_obj
def serve(common: Common, port: int | None) -> int:
    """Run the gateway until Ctrl-C or SIGTERM; transfers go on at the next start.

    Its log goes to stderr. With --json, its address is printed on stdout once it listens.
    """
    from scigate.storage_backends.registry import BackendRegistry

    from .. import logs
    from ..cores import forbid_cores
    from ..settings import Settings
    from ..settings_hub import with_hub
    from ..wiring import serve as run

    forbid_cores()  # before there is a secret in memory
    logs.configure()  # before the settings: a plug-in that they name may be broken
    registry = BackendRegistry()
    settings = with_hub(Settings.load(common.config, registry=registry), os.environ)
    if port is not None:
        settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
    if not settings.users and settings.hub is None:
        say("No user can log in yet: make a token with 'scigate token NAME'.", color="yellow")
    run(settings, lambda service: _ready(common, service.url), registry)
    _end_soon()
    return 0


def _end_soon() -> None:
    """All is put in order by now; who still asks a storage that hangs, perhaps for minutes, is not waited for."""
    sys.stdout.flush()
    end = threading.Timer(LINGER, os._exit, [0])
    end.daemon = True
    end.start()


def _ready(common: Common, url: str) -> None:
    if common.json:
        emit({"url": url})
    if sys.stderr.isatty():
        say(f"SciGate answers at {url} (API: {url}/docs). Ctrl-C ends it.", color="green")
