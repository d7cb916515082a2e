"""Commands for who runs a gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .output import Common, columns, common, emit, plural, reads_settings, say

if TYPE_CHECKING:
    from scigate.storage_backends.testing import CaseResult

    from ..resources import Check

INSTALL: Final = {
    "bash": 'eval "$(scigate completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(scigate completion zsh)"    # in ~/.zshrc',
    "fish": "scigate completion fish | source    # in ~/.config/fish/config.fish",
}
WORD_BREAK: Final = """
# A location holds a ':', which bash would take for the end of a word.
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
"""


@click.command("doctor")
@click.option(
    "--hub",
    metavar="URL|FILE",
    help="Look at a JupyterHub with a gateway instead: its address, or its jupyterhub_config.py.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Show that hub the token in this file. [default: $JUPYTERHUB_API_TOKEN, to the hub that it is of only]",
)
@reads_settings
@click.pass_obj
def doctor(common: Common, hub: str | None, token_file: Path | None) -> int:
    """Look for what is wrong, and say what to do: settings, files, database, storages, plug-ins, the gateway."""
    from ..client.progress import printable
    from ..doctor import examine

    if token_file is not None and hub is None:
        raise click.UsageError("--token-file says what to show to a hub: name that with --hub.")
    wrong = 0
    for check in examine(common.config) if hub is None else _examine_hub(hub, token_file):
        wrong += not check.ok
        if common.json:
            emit(check)
            continue
        mark = click.style("ok   ", fg="green") if check.ok else click.style("wrong", fg="red")
        click.echo(f"{mark}  {printable(f'{check.name}: {check.message}')}")
        if check.next_step:
            click.echo(f"       → {printable(check.next_step)}")
    say(
        f"{plural(wrong, 'thing')} to put right." if wrong else "Everything is in order.",
        color="red" if wrong else "green",
    )
    return 1 if wrong else 0


def _examine_hub(target: str, token_file: Path | None) -> Iterator[Check]:
    from ..client.access import read_token
    from ..doctor import examiner

    examine = examiner("hub")
    if examine is None:
        raise click.UsageError("What looks at hubs is not installed here: pip install 'scigate[hub]'.")
    return examine(target, read_token(token_file.expanduser()).reveal() if token_file else None)


@click.command("migrate")
@reads_settings
@click.pass_obj
def migrate(common: Common) -> None:
    """Bring the database to the newest schema; safe to repeat. 'serve' does it by itself."""
    from ..db.migrate import migrate as upgrade
    from ..db.migrate import newest_revision
    from ..settings import Settings

    upgrade(Settings.load(common.config).database_url.reveal())
    revision = newest_revision()
    emit({"revision": revision}) if common.json else say(f"The database is at revision {revision}, the newest.")


@click.command("conformance")
@click.argument("storage")
@click.option("--folder", default="scigate-conformance/", show_default=True, help="Scratch folder at the storage.")
@click.option("--many", type=click.IntRange(1), default=1200, show_default=True, help="How many files are listed.")
@reads_settings
@click.pass_obj
def conformance(common: Common, storage: str, folder: str, many: int) -> int:
    """Test a configured storage against the storage contract, in a scratch folder that is cleared up afterwards.

    Where the settings say read_only, nothing is written, and only what needs no file of its own is tested.
    """
    from scigate.storage_backends.layers import compose
    from scigate.storage_backends.registry import BackendRegistry
    from scigate.storage_backends.testing import Outcome, run

    from ..settings import Settings

    registry = BackendRegistry()
    settings = Settings.load(common.config, registry=registry)
    section = settings.storages.get(storage)
    if section is None:
        known = ", ".join(settings.storages) or "none"
        raise click.UsageError(f"There is no storage {storage!r} in the settings. There: {known}.")
    kind, options = registry.get(section.type), section.options
    results = []
    if section.read_only:
        say("The settings say read_only: nothing is written there, so most cases cannot be run.", color="yellow")
    opened = partial(compose, retry=False, read_only=section.read_only)
    for result in run(lambda: opened(kind.build(options)), folder.rstrip("/") + "/", many=many):
        results.append(result)
        emit(_as_json(result)) if common.json else say(f"{result.outcome:10} {result.case.name}")
    failed = [result for result in results if not result.good]
    if not common.json:
        columns([_row(result) for result in failed], ("CASE", "SECONDS", "WHAT WAS SEEN")) if failed else None
    passed = sum(result.outcome is Outcome.PASSED for result in results)
    say(f"{passed} cases passed, {len(failed)} failed, {len(results) - passed - len(failed)} not claimed or known.")
    return 1 if failed else 0


@click.command("token")
@click.argument("name")
@common
@click.pass_obj
def token(common: Common, name: str) -> None:
    """Make a token for the user NAME. It is shown once; the settings keep only its SHA-256."""
    import secrets
    from hashlib import sha256

    from pydantic import TypeAdapter, ValidationError

    from ..settings import UserName
    from ..validation import words

    try:
        TypeAdapter(UserName).validate_python(name)
    except ValidationError as error:
        raise click.UsageError(f"{name!r} cannot be a user: {words(error.errors()[0])}.") from None
    made = secrets.token_urlsafe(32)
    digest = f"sha256:{sha256(made.encode()).hexdigest()}"
    if common.json:
        emit({"user": name, "token": made, "token_hash": digest})
        return
    say(f"The token of {name}. It is not shown again; save it in ~/.config/scigate/token (mode 0600):")
    click.echo(made)
    say(f'\nInto scigate.toml of the gateway:\n\n[users.{_key(name)}]\ntoken_hash = "{digest}"')


@click.command("completion")
@click.argument("shell", type=click.Choice(list(INSTALL)))
def completion(shell: str) -> None:
    """Print the completion of commands, storages, paths and transfers for a shell."""
    from click.shell_completion import get_completion_class

    from .app import app

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    click.echo(kind(app, {}, "scigate", "_SCIGATE_COMPLETE").source())
    if shell == "bash":
        click.echo(WORD_BREAK)
    if sys.stdout.isatty():
        say(f"To install it:  {INSTALL[shell]}")


@click.command("version")
@common
@click.pass_obj
def version(common: Common) -> None:
    """Print the version."""
    import platform
    from importlib.metadata import version as installed

    found = {"scigate": installed("scigate"), "python": platform.python_version()}
    emit(found) if common.json else click.echo(f"scigate {found['scigate']} (Python {found['python']})")


def _as_json(result: CaseResult) -> dict[str, object]:
    return {
        "case": result.case.name,
        "outcome": str(result.outcome),
        "seen": result.seen,
        "seconds": round(result.seconds, 3),
    }


def _row(result: CaseResult) -> tuple[str, ...]:
    return result.case.name, f"{result.seconds:.1f}", result.seen


def _key(name: str) -> str:
    """The name as a TOML key; quoted where it must be."""
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else f'"{name}"'
