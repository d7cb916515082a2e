"""A gateway in this process, made from settings, with its storages wherever the test wants them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build
from scigate.storage_backends.testing.servers import S3Server

TOKEN: Final = "token-of-ada-" + "x" * 16
SETTLED: Final = frozenset({"DONE", "FAILED", "CANCELLED", "PAUSED"})


@dataclass
class Ground:
    """``add`` storages, ``start``, ``submit``."""

    folder: Path
    database: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    allowed: list[str] = field(default_factory=list)
    storages: dict[str, dict[str, Any]] = field(default_factory=dict)
    service: Service | None = None

    def posix(self, name: str) -> Path:
        """A storage on a folder of its own, which is returned."""
        root = self.folder / name
        root.mkdir(parents=True, exist_ok=True)
        self.storages[name] = {"type": "posix", "root": str(root), "verify_from": "cache"}
        return root

    def s3(self, name: str, server: S3Server, endpoint: str | None = None, **options: Any) -> str:
        """A storage on a prefix of its own of the server's bucket, which is returned."""
        variable, prefix = f"FAULTS_KEY_{name.upper()}", f"{self.folder.name}/{name}/"
        os.environ[variable] = server.secret_key
        self.storages[name] = {
            "type": "s3", "endpoint": endpoint or server.endpoint, "bucket": server.bucket, "region": server.region,
            "access_key": server.access_key, "secret_key": {"env": variable}, "prefix": prefix, **options,
        }  # fmt: skip
        return prefix

    def http(self, name: str, url: str) -> None:
        self.storages[name] = {"type": "http", "url": url}

    def start(self) -> None:
        tables = {f"storages.{name}": table for name, table in self.storages.items()}
        tables["limits"] = {"reconcile_seconds": 1, **self.limits}
        tables["gateway"] = {"port": 0, "state_dir": str(self.folder / "state")}
        tables["egress"] = {"allow": self.allowed}
        tables["users.ada"] = {"token_hash": f"sha256:{sha256(TOKEN.encode()).hexdigest()}"}
        if self.database:
            os.environ["FAULTS_DATABASE"] = self.database
            tables["database"] = {"url": {"env": "FAULTS_DATABASE"}}
        text = "".join(f"[{name}]\n" + "".join(_lines(table)) for name, table in tables.items())
        self.service = build(Settings.parse(text))
        self.service.start()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=f"{self.service.url}/api/v1", headers=headers, timeout=60)

    def stop(self) -> None:
        if self.service:
            self.client.close()
            self.service.stop()
            self.service = None

    # --- what users do -------------------------------------------------------------------------------------------

    def submit(self, *pairs: tuple[str, str], **options: Any) -> str:
        files = [{"source": source, "destination": destination} for source, destination in pairs]
        answer = self.client.post("/transfers", json={"files": files, **options})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["transfer"]["id"])

    def get(self, transfer: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/transfers/{transfer}").json()
        return found

    def files(self, transfer: str) -> list[dict[str, Any]]:
        return list(self._pages(f"/transfers/{transfer}/files?limit=1000"))

    def file(self, transfer: str) -> dict[str, Any]:
        (found,) = self.files(transfer)
        return found

    def events(self, transfer: str) -> list[dict[str, Any]]:
        return list(self._pages(f"/transfers/{transfer}/events?limit=1000"))

    def _pages(self, address: str) -> Iterable[dict[str, Any]]:
        url: str | None = address
        while url:
            answer = self.client.get(url)
            assert answer.status_code == 200, answer.text
            yield from answer.json()["items"]
            following = answer.links.get("next", {}).get("url")
            url = following and str(answer.url.join(following))

    def settled(self, transfer: str, seconds: float = 150) -> dict[str, Any]:
        """The transfer once nothing more happens by itself. A hang fails the test."""
        until(lambda: self.get(transfer)["state"] in SETTLED, seconds, lambda: self.tell(transfer))
        return self.get(transfer)

    def tell(self, transfer: str) -> str:
        open_files = [file for file in self.files(transfer) if file["state"] not in SETTLED][:5]
        return f"{self.get(transfer)}\n{open_files}\n{self.events(transfer)[-10:]}"


def until(reached: Callable[[], bool], seconds: float = 150, tell: Callable[[], str] = str) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not reached within {seconds} s. {tell()}"
        time.sleep(0.05)


def _lines(table: dict[str, Any]) -> Iterable[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            inside = ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items())
            yield f"{name} = {{ {inside} }}\n"
        else:
            yield f"{name} = {json.dumps(value)}\n"
