"""The receiver of the page on webhooks, as it stands there, against a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "receive-webhooks.md"
TOKEN = "token-of-anna-" + "x" * 20


@pytest.fixture
def service(tmp_path: Path) -> Any:
    (tmp_path / "scigate.toml").write_text(f"""
[gateway]
port = 0
state_dir = "{tmp_path}/state"
[storages.mem]
type = "memory"
[users.anna]
token_hash = "sha256:{sha256(TOKEN.encode()).hexdigest()}"
[egress]
allow = ["127.0.0.1:*"]
""")
    service = build(Settings.load(tmp_path / "scigate.toml"))
    service.start()
    yield service
    service.stop()


def test_the_receiver_on_the_page_receives(
    service: Service, blocks: Callable[[Path, str], list[Any]], tmp_path: Path, free_port: int
) -> None:
    (receiver,) = blocks(PAGE, "python")
    client = httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    url = f"http://127.0.0.1:{free_port}/"
    created = client.post("/api/v1/webhooks", json={"url": url}).json()
    webhook = f"/api/v1/webhooks/{created['webhook']['id']}"
    environment = {**os.environ, "WEBHOOK_SECRET": created["secret"], "PORT": str(free_port)}
    output = tmp_path / "output"
    with output.open("wb") as out:
        running = subprocess.Popen([sys.executable, "-c", receiver.text], cwd=tmp_path, env=environment, stdout=out)
    try:
        _until(lambda: client.post(f"{webhook}/test").json()["accepted"])
        client.put("/api/v1/files/mem/a", content=b"data").raise_for_status()
        _until(lambda: "scigate.transfer.done" in output.read_text())
        lines = output.read_text().splitlines()
        client.post(f"{webhook}/replay", json={"after": "0"})
        newest = lines[-1].split()[0]
        _until(lambda: client.get(webhook).json()["delivered"] == newest)
        assert output.read_text().splitlines() == lines, "what was seen before is dropped"
        assert lines[0].split()[1] == "scigate.webhook.test"
        for headers in (
            {},
            {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,x"},
        ):
            assert httpx.post(url, content=b"{}", headers=headers, timeout=60).status_code == 401
    finally:
        client.close()
        running.terminate()
        running.wait(60)


def _until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
