"""What a killed hub leaves behind does not keep the next one from starting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.hub_config.traefik import PrivateTraefik, end_leftover


@pytest.fixture
def left(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that was started with a configuration, as Traefik is."""
    command = [sys.executable, "-c", "print(flush=True); input()", "--configfile", str(tmp_path / "traefik.toml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_the_traefik_of_a_killed_hub_is_ended(tmp_path: Path, left: subprocess.Popen[bytes]) -> None:
    pid_file = tmp_path / "traefik.pid"
    pid_file.write_text(str(left.pid))
    end_leftover(pid_file, str(tmp_path / "traefik.toml"))
    assert left.wait(timeout=120) < 0


@pytest.mark.parametrize("text", ["", "not a number", "1", "{pid}"])
def test_nobody_else_is_ended(tmp_path: Path, left: subprocess.Popen[bytes], text: str) -> None:
    """The number may be another process's by now."""
    pid_file = tmp_path / "traefik.pid"
    pid_file.write_text(text.format(pid=left.pid))
    end_leftover(pid_file, str(tmp_path / "other.toml"))
    end_leftover(tmp_path / "none.pid", str(tmp_path / "traefik.toml"))
    assert left.poll() is None


def test_it_is_noted_before_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hub that is killed meanwhile would leave one behind that nobody knows of."""
    program = tmp_path / "traefik"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    noted: list[str] = []

    async def answers(proxy: PrivateTraefik) -> None:
        noted.append((tmp_path / "traefik.pid").read_text())

    async def run() -> None:
        await proxy.start()
        assert noted == [str(proxy.traefik_process.pid)]
        await proxy.stop()

    monkeypatch.setattr(PrivateTraefik, "_wait_for_static_config", answers)
    files = {"static_config_file": str(tmp_path / "traefik.toml"), "dynamic_config_file": str(tmp_path / "rules.toml")}
    proxy = PrivateTraefik(**files, public_url="http://127.0.0.1:8000/")
    asyncio.run(run())
    assert not (tmp_path / "traefik.pid").exists()
