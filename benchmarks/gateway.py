"""A gateway as its users have it: ``scigate serve`` as a process of its own, with the settings it is installed with."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from scigate.gateway_api.demo.service import COMMAND

from .cases import BenchmarkFailed
from .places import Place, Value

SOURCE: Final = "source"
DESTINATION: Final = "destination"
_STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """How to reach a gateway, and its process id."""

    url: str
    token: str = field(repr=False)
    pid: int


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """A ``scigate.toml`` with two storages and one user, and the variables with its secrets."""

    text: str
    token: str = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)


def settings(state: Path, source: Place, destination: Place, extra: str = "") -> GatewaySettings:
    """Everything that is not said here, or in the lines ``extra``, stays at its default."""
    token = secrets.token_hex(32)
    lines = ["[gateway]", "port = 0", f"state_dir = {json.dumps(str(state))}"]
    lines += ["[users.bench]", f'token_hash = "sha256:{sha256(token.encode()).hexdigest()}"']
    variables: dict[str, str] = {}
    for name, place in ((SOURCE, source), (DESTINATION, destination)):
        keys, hidden = place.storage(name)
        lines += [f"[storages.{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
        variables |= hidden
    return GatewaySettings("\n".join([*lines, extra]) + "\n", token, variables)


@contextmanager
def gateway(folder: Path, source: Place, destination: Place, extra: str = "") -> Iterator[RunningGateway]:
    """A new gateway with an empty database in ``folder``; ended by its own process id."""
    chosen = settings(folder / "state", source, destination, extra)
    config, log = folder / "scigate.toml", folder / "gateway.log"
    config.write_text(chosen.text)
    command = [sys.executable, "-c", COMMAND, "serve", "--json", "--config", str(config)]
    if setpriv := shutil.which("setpriv"):  # it goes down with us, even when we are killed
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with log.open("wb") as err:
        process = subprocess.Popen(
            command,
            env={**os.environ, **chosen.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        )
    try:
        yield RunningGateway(_address(process, log), chosen.token, process.pid)
    finally:
        _stop(process)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    """What it prints once it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError):
        said = log.read_text(errors="replace")[-4000:]
        raise BenchmarkFailed(f"the gateway did not start; it said:\n{line}{said}") from None


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _toml(value: Value) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    return "{ " + ", ".join(f"{key} = {json.dumps(part)}" for key, part in value.items()) + " }"
