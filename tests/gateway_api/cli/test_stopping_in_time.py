"""``scigate serve`` ends in time, whatever hangs."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

COMMAND = "from scigate.gateway_api.cli import main; main()"
TOKEN = "t" * 32
SETTINGS = """
[gateway]
port = 0
state_dir = {state}
[storages.hung]
type = "http"
url = "http://127.0.0.1:{port}/"
[users.ada]
token_hash = "sha256:{hash}"
"""


def test_a_storage_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        state, port = json.dumps(str(tmp_path / "state")), hung.getsockname()[1]
        text = SETTINGS.format(state=state, port=port, hash=sha256(TOKEN.encode()).hexdigest())
        (tmp_path / "scigate.toml").write_text(text)
        words = ["serve", "--json", "--config", str(tmp_path / "scigate.toml")]
        with (tmp_path / "log").open("wb") as log:
            gateway = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=subprocess.PIPE, stderr=log)
        try:
            assert gateway.stdout is not None
            _ask(json.loads(gateway.stdout.readline())["url"])
            asked = [hung.accept()[0]]
            while b"/somewhere" not in asked[-1].recv(1 << 16):  # the gateway looks at the storage by itself
                asked.append(hung.accept()[0])
            began = time.monotonic()
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(300) == 0, (tmp_path / "log").read_text()
            assert time.monotonic() - began < 45, "a storage may hang for minutes"
        finally:
            gateway.kill()
            gateway.communicate()


def _ask(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", "/api/v1/files/hung/somewhere?meta=1", headers={"Authorization": f"Bearer {TOKEN}"})
