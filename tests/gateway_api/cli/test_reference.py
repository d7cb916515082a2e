"""docs/reference/cli.md says what ``--help`` says. To write it anew: SCIGATE_WRITE_DOCS=1 pytest THIS_FILE"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from scigate.gateway_api.cli.app import COMMANDS, app
from scigate.gateway_api.cli.exits import MEANING

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
HEAD = """\
# The command line

`scigate COMMAND --help` prints what stands here; a test keeps the two the same.

Results go to stdout, everything for people (progress, questions, errors) to stderr. With `--json` stdout holds one JSON
document, or one for each item and line. Every error says what happened and, after `→`, what to do next.

The gateway is found in this order: `--url`, `$SCIGATE_URL`, the `[gateway]` table of `scigate.toml`, `http://127.0.0.1:8470`.
The token: `$SCIGATE_TOKEN`, the file named by `$SCIGATE_TOKEN_FILE`, `~/.config/scigate/token`;
in a terminal of a hub's notebook server also `$JUPYTERHUB_API_TOKEN`. A token file that others can read is refused,
and so is [an address that only a `scigate.toml` here tells](configuration.md#environment-of-the-client).

A word on the command line is a file of this machine if it exists or begins with `./`, `../`, `/` or `~/`; `NAME:/PATH`
is a location at a storage; `http://` and `https://` are URLs.

## Exit codes

| code | meaning |
|---|---|
"""


def render() -> str:
    codes = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANING.items())
    context = click.Context(app, info_name="scigate", **app.context_settings)
    parts = []
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        parts += sections(name, command, context)
    return HEAD + codes + "".join(parts)


def sections(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """A command, and those that are below it."""
    with click.Context(command, info_name=name, parent=parent, terminal_width=100) as context:
        yield f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
        for below in command.commands.values() if isinstance(command, click.Group) else ():
            yield from sections(str(below.name), below, context)


def test_the_reference_is_what_help_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    if os.environ.get("SCIGATE_WRITE_DOCS"):
        DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
        DOCUMENT.write_text(render())
    assert DOCUMENT.read_text() == render()


def test_every_command_says_what_it_does() -> None:
    context = click.Context(app, info_name="scigate")
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
        assert all(option.help for option in command.params if isinstance(option, click.Option))
