"""The examples in README.md and docs/ do what the text says: they are run, on real services."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from scigate.gateway_api.cli.app import COMMANDS, app
from scigate.gateway_api.settings import HubSection, Settings

DATA_SERVER = "https://data.example.org"  # in examples; here it is the playground's
ROOT = Path(__file__).parents[2]
Blocks = Callable[[Path, str], list[Any]]


@pytest.mark.timeout(600)  # some are run twice
def test_python_examples_run(python_page: Path, blocks: Blocks, playground: Any, tmp_path: Path) -> None:
    run = [example.text for example in blocks(python_page, "python") if example.why_not is None]
    script = "\n".join(run).replace(DATA_SERVER, playground.web)
    (tmp_path / "run7.h5").write_bytes(os.urandom(3_000_000))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SCIGATE_URL": playground.service.url,
        "SCIGATE_TOKEN_FILE": str(playground.service.token_file),
    }
    for _ in range(2 if python_page.parent.name == "how-to" else 1):  # how-tos are read, and run, more than once
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_commands_in_examples_exist_and_have_these_options(sh_page: Path, blocks: Blocks) -> None:
    text = "".join(example.text for example in blocks(sh_page, "sh"))
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "scigate":
            _parse(words[1:])


def test_settings_in_examples_are_accepted(toml_page: Path, blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    for example in blocks(toml_page, "toml"):
        if "entry-points" in example.text:
            continue
        for variable in re.findall(r'env = "(\w+)"', example.text):
            is_url = variable == "SCIGATE_DATABASE_URL"
            monkeypatch.setenv(variable, "postgresql+psycopg://u:p@db.example.org/d" if is_url else "x" * 40)
        Settings.parse(example.text.replace("sha256:…", "sha256:" + "0" * 64))


def test_every_key_of_the_settings_is_shown_and_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "reference" / "scigate.toml").read_text()
    for variable in re.findall(r'env = "(\w+)"', text):
        monkeypatch.setenv(variable, f"{variable:x<40}")
    settings = Settings.parse(text)
    shown = set(re.findall(r"^#? ?(\w+) = ", text, re.MULTILINE))
    sections = (settings.gateway, settings.limits, settings.egress, settings.executor, settings.database)
    known = {key for section in (*map(type, sections), HubSection) for key in section.model_fields}
    missing = known - shown
    assert missing == set()


def test_examples_are_found(pages: list[Path], blocks: Blocks) -> None:
    for language, at_least in {"python": 4, "sh": 5, "toml": 4}.items():
        assert len([page for page in pages if blocks(page, language)]) >= at_least


def _parse(words: list[str]) -> None:
    command_name, *arguments = words
    if command_name in ("--help", "-h"):
        return
    assert command_name in COMMANDS, f"there is no command {command_name!r}"
    context = click.Context(app, **app.context_settings)  # commands remember the names that it gives to --help
    command = app.get_command(context, command_name)
    assert command is not None
    command.make_context(command_name, arguments, parent=context, resilient_parsing=False)
