"""A gateway as a process that hostile requests are sent to, with what is around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psutil

from tests.processes import await_answer, stop

from .wire import Wire

USERS: Final[Mapping[str, str]] = {
    "ada": 'communities = ["h3a"]',
    "eve": 'communities = ["h3a"]',  # of the same community as ada
    "bo": "",
    "cora": 'roles = ["user", "curator"]',
    "rita": 'roles = ["reader"]',
    "root": 'roles = ["user", "admin"]',
}
TOKENS: Final = {name: f"token-of-{name}-{'x' * 20}" for name in USERS}
COMMAND: Final = "from scigate.gateway_api.cli import main; main()"


@dataclass
class Evil:
    """A gateway process. Its storage ``lab`` lies at ``folder/around/lab``."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    wires: list[Wire] = field(default_factory=list)

    @property
    def lab(self) -> Path:
        return self.folder / "around" / "lab"

    def wire(self, user: str | None = "ada", timeout: float = 120) -> Wire:
        made = Wire(self.port, TOKENS[user] if user else None, timeout)
        self.wires.append(made)
        return made

    def memory(self) -> int:
        """Resident bytes of the process."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def lines(self) -> list[dict[str, Any]]:
        """The log, but for a line that is being written. Fails where one is not a JSON object."""
        found = []
        for line in self.log.read_bytes().rpartition(b"\n")[0].split(b"\n"):
            if line:
                value = json.loads(line)
                assert isinstance(value, dict), line
                found.append(value)
        return found

    def finished(self, wire: Wire, ids: list[str], seconds: float = 150) -> dict[str, dict[str, Any]]:
        """These transfers, once all of them are final."""
        end, found = time.monotonic() + seconds, {}
        for id in ids:
            while not (one := wire.ask("GET", f"/api/v1/transfers/{id}").json)["finished"]:
                assert time.monotonic() < end, f"not finished in {seconds} s: {one}"
                time.sleep(0.05)
            found[id] = one
        return found

    def kill(self) -> None:
        """kill -9, and wait until nothing is left."""
        self.process.kill()
        self.process.wait()


def settings(folder: Path, port: int, extra: str = "") -> str:
    """The settings of a gateway for hostile requests; makes the folders that they name."""
    lab, peer = folder / "around" / "lab", folder / "around" / "peer"
    for path in (lab, peer, folder / "adas"):
        path.mkdir(parents=True, exist_ok=True)
    users = "".join(
        f'[users.{name}]\ntoken_hash = "sha256:{sha256(TOKENS[name].encode()).hexdigest()}"\n{more}\n'
        for name, more in USERS.items()
    )
    return f"""
[gateway]
port = {port}
state_dir = {json.dumps(str(folder / "state"))}
[storages.lab]
type = "posix"
root = {json.dumps(str(lab))}
[storages.peer]
type = "posix"
root = {json.dumps(str(peer))}
[storages.mem]
type = "memory"
[storages.adas]
type = "posix"
root = {json.dumps(str(folder / "adas"))}
users = ["ada"]
[storages.community]
type = "memory"
users = ["community:h3a"]
{users}
[egress]
allow = ["127.0.0.1:9"] # where nobody listens
{extra}
"""


def command_environment(folder: Path) -> dict[str, str]:
    """Nothing of the real user's."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}


@contextmanager
def running(
    folder: Path,
    port: int,
    extra: str = "",
    environment: Mapping[str, str] | None = None,
    changes: Sequence[tuple[str, str]] = (),
    wrapper: Sequence[str] = (),
) -> Iterator[Evil]:
    """``scigate serve`` with the settings above, ready, and stopped at the end.

    ``extra`` is added to its settings, and ``changes`` are made to them; ``wrapper`` is a command that runs it.
    """
    text = settings(folder, port, extra)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "scigate.toml").write_text(text)
    evil = started(folder, port, environment, wrapper)
    try:
        yield evil
    finally:
        for wire in evil.wires:
            wire.close()
        if evil.process.poll() is None:
            stop(evil.process)


def started(folder: Path, port: int, environment: Mapping[str, str] | None = None, wrapper: Sequence[str] = ()) -> Evil:
    """A gateway in this folder, whose settings are there, once it answers."""
    log = folder / "gateway.log"
    command = [*wrapper, sys.executable, "-c", COMMAND, "serve", "--config", str(folder / "scigate.toml")]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
            env={**command_environment(folder), **(environment or {})},
        )  # fmt: skip
    try:
        await_answer(f"http://127.0.0.1:{port}/readyz", process, log)
    except AssertionError:
        process.kill()
        raise
    return Evil(folder, port, process, log)
