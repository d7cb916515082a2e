"""All commands by name, imported when used; how errors end."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from .output import Common, emit, report, say

COMMANDS: Final = {
    "demo": (".service", "Show SciGate on this machine: a hub with the gateway, real storages, a notebook."),
    "serve": (".service", "Run the gateway."),
    "ls": (".browse", "List the storages, or what is in a folder."),
    "cp": (".cp", "Copy files: here to a storage, a storage to here, between storages, or from a URL."),
    "put": (".cp", "Send files of this machine to a storage; goes on where it broke off."),
    "get": (".cp", "Fetch a file or folder to this machine; goes on where it broke off."),
    "rm": (".browse", "Remove files or folders at a storage."),
    "mkdir": (".browse", "Make a folder at a storage."),
    "mv": (".browse", "Rename a file within its storage."),
    "transfers": (".transfers", "List your transfers, newest first."),
    "show": (".transfers", "Show a transfer: its state, its files, its journal."),
    "pause": (".transfers", "Pause transfers at their next block."),
    "resume": (".transfers", "Go on with paused transfers."),
    "cancel": (".transfers", "End transfers; what is half written is removed."),
    "retry": (".transfers", "Try the failed and waiting files of transfers again, now."),
    "uploads": (".uploads", "List your uploads that are under way, or end one."),
    "webhooks": (".webhooks", "List your webhooks, or have events sent to a program of yours."),
    "doctor": (".admin", "Look for what is wrong, and say what to do."),
    "migrate": (".admin", "Bring the database to the newest schema."),
    "conformance": (".admin", "Test a configured storage against the storage contract."),
    "token": (".admin", "Make a token for a user."),
    "completion": (".admin", "Print the shell completion and how to install it."),
    "version": (".admin", "Print the version."),
}
EPILOG: Final = "A location is STORAGE:/PATH, for example archive:/run7/a.h5; a folder ends in '/'."


class Lazy(click.Group):
    """A group whose commands are imported when they are used, so that ``--help`` is there at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0], __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _say_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"scigate {version('scigate')}")
        context.exit()


@click.group(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version,
              help="Print the version.")  # fmt: skip
def app() -> None:
    """SciGate moves data between any storages, and every byte is accounted for."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Never a traceback, except with ``--debug``."""
    options = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
    common = Common(json="--json" in options, debug="--debug" in options)
    try:
        code = app.main(args=list(arguments), prog_name="scigate", obj=common, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 6
    except BaseException as error:  # noqa: BLE001 this is where every error ends: as a sentence and an exit code
        if common.debug:
            traceback.print_exc()
        return _ended(error, common)


def _ended(error: BaseException, common: Common) -> int:
    from ..client.errors import GatewayError
    from .exits import Exit, exit_for

    if isinstance(error, KeyboardInterrupt | click.Abort):
        say(str(error) or "Interrupted.")
        return Exit.INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        code = Exit.USAGE if isinstance(error, click.UsageError) else Exit.FAILED
        if common.json:
            emit({"error": {"code": code.name.lower(), "message": error.format_message(), "exit_code": int(code)}})
        return code
    if isinstance(error, GatewayError):
        code = exit_for(error)
        report(error, code, common.json)
        return code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.FAILED
    return _unexpected(error, common)


def _unexpected(error: BaseException, common: Common) -> int:
    from scigate.storage_backends.errors import StorageError

    from ..settings_errors import SettingsError
    from .exits import Exit

    if isinstance(error, SettingsError | StorageError):
        code = Exit.USAGE if isinstance(error, SettingsError) else Exit.FAILED
        report(error, code, common.json)
        return code
    say(f"Error: something unexpected: {type(error).__name__}: {error}", color="red")
    say("→ This is a bug in scigate. Run the command again with --debug and report what it prints.")
    return Exit.BUG
