"""What commands print: results on stdout, everything for people on stderr; and the options all commands have."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..client import Gateway

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Common:
    """The values of the options that every command has."""

    json: bool = False
    debug: bool = False
    url: str | None = None
    config: Path | None = None

    def gateway(self) -> Gateway:
        """The gateway to ask, as the options and the environment say."""
        from datetime import timedelta

        from ..client import Gateway

        return Gateway(self.url, patience=timedelta(seconds=2))


def common(command: F) -> F:
    """Add ``--json`` and ``--debug``."""
    return _flag("--json", "json", "Print JSON on stdout: a document, or a line for each item.")(debug(command))


def debug(command: F) -> F:
    """Add ``--debug``."""
    return _flag("--debug", "debug", "On errors, show where they come from.")(command)


def asks_gateway(command: F) -> F:
    """Add the options of commands that talk to a gateway."""
    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=_remember("url"),
        help="Address of the gateway. [default: $SCIGATE_URL, else from scigate.toml]",
    )
    return common(url(command))


def reads_settings(command: F) -> F:
    """Add the options of commands that read ``scigate.toml`` themselves."""
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_remember("config"),
        help="Settings. [default: $SCIGATE_CONFIG, ./scigate.toml, ~/.config/scigate/scigate.toml]",
    )
    return common(config(command))


def _flag(option: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(option, is_flag=True, expose_value=False, callback=_remember(name), help=text)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.find_object(Common) or Common(), name, value)

    return remember


def emit(value: BaseModel | dict[str, Any]) -> None:
    """Print a JSON document on one line. ASCII only, so that names that are not UTF-8 survive."""
    data = value if isinstance(value, dict) else value.model_dump(mode="json")
    click.echo(json.dumps(data, default=str))


def say(text: str, *, color: str | None = None) -> None:
    """A sentence for people, on stderr."""
    click.secho(text, err=True, fg=color)


def say_of(text: str, *, color: str | None = None) -> None:
    """A sentence on one line with names in it, which may hold anything: what would steer the terminal is escaped."""
    from ..client.progress import printable

    say(printable(text), color=color)


def plural(count: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def columns(rows: Iterable[Sequence[str]], heads: Sequence[str]) -> None:
    """Print aligned columns on stdout; the last one is never padded or cut."""
    from ..client.progress import printable

    table = [tuple(heads), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(heads))]
    for number, row in enumerate(table):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(text, bold=number == 0 and sys.stdout.isatty())


def report(error: Exception, code: int, as_json: bool) -> None:
    """What happened, and what to do next; with ``--json`` also as a document on stdout."""
    from ..client import RequestRefused
    from ..client.progress import printable

    message = getattr(error, "message", None) or str(error)
    next_step = getattr(error, "next_step", "")
    fields = error.fields() if isinstance(error, RequestRefused) else []
    say("\n".join(printable(line) for line in f"Error: {message}".split("\n")), color="red")
    for field in fields:
        say(f"  {printable(field)}")
    for line in filter(None, next_step.split("\n")):
        say(f"→ {printable(line)}")
    if as_json:
        body = {"message": message, "next_step": next_step, "exit_code": int(code), "errors": fields}
        emit({"error": {"code": getattr(error, "code", "") or type(error).__name__, **body}})
