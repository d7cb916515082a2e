"""A PostgreSQL of its own, which can be stopped, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from scigate.storage_backends.testing.servers import free_ports


class Cluster:
    """A PostgreSQL of its own, which can be killed and started again."""

    def __init__(self, postgres: Path, folder: Path, **options: object) -> None:
        self._postgres, self._folder = postgres, folder
        self._options = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        (self._port,) = free_ports(1)
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run(postgres.with_name("initdb"), "-U", "scigate", "--auth=trust", "-D", folder / "data")
        self.port = self._port
        self.url = f"postgresql+psycopg://scigate@127.0.0.1:{self._port}/postgres"
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Until it answers."""
        self._launch()
        end = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > end:
                pytest.fail((self._folder / "log").read_text(errors="replace"), pytrace=False)
            if self._process.poll() is not None:  # it refuses to while processes of a killed one have not yet ended
                self._launch()
            time.sleep(0.05)

    def _launch(self) -> None:
        command = [*self._as, self._postgres, "-D", self._folder / "data", "-p", str(self._port), "-h", "127.0.0.1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-k", self._folder, *self._options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends it "fast", SIGQUIT "immediately", without a word to the disk (PostgreSQL, "Shutting Down")."""
        self._process.send_signal(how)
        self._process.wait(60)

    def kill(self) -> None:
        """All its processes at once, as when the machine loses power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _run(self, *command: str | Path) -> None:
        subprocess.run([*self._as, *command], check=True, capture_output=True, cwd=self._folder)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True
