"""Every bit that flips on the way of a body is found where there is anything to compare with; else the records say so.

Each file is hit once, at a random place of its data. That it was found is seen in the journal (an attempt failed, or
the request was refused), and that it was put right by reading what arrived without any code of the product.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from blake3 import blake3
from scigate.storage_backends.testing.servers import S3Server

from tests.evidence import record

from .ground import Ground
from .proxy import TOKEN_SIZE, Proxy, Way, token

FILES: Final = 250
MOST: Final = 3000  # bytes
SEED: Final = 4


def payload(number: int) -> bytes:
    chosen = random.Random(SEED * 100_000 + number)
    return token(number) + chosen.randbytes(chosen.randrange(1, MOST))


def aims(count: int = FILES) -> dict[int, tuple[int, int]]:
    """For each file a place in its data behind the token, and a bit."""
    chosen = random.Random(SEED)
    return {
        number: (chosen.randrange(TOKEN_SIZE, len(payload(number))), chosen.randrange(8)) for number in range(count)
    }


def names(count: int = FILES) -> list[str]:
    return [f"f{number}" for number in range(count)]


def judged(
    ground: Ground, transfer: str, content: Callable[[str], bytes], proxy: Proxy, count: int = FILES
) -> list[Any]:
    """The files whose flip was not found, and those that are not right in the end."""
    done = ground.settled(transfer)
    wrong: list[Any] = [] if done["state"] == "DONE" else [done]
    wrong += [name for number, name in enumerate(names(count)) if content(name) != payload(number)]
    tried = sum(file["attempts"] > 1 for file in ground.files(transfer))
    return wrong + ([] if proxy.flipped == tried == count else [f"{proxy.flipped} flips, {tried} tried again"])


def write(folder: Path, count: int = FILES) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names(count)):
        (folder / name).write_bytes(payload(number))


def test_on_the_way_to_s3(ground: Ground, seaweedfs: S3Server) -> None:
    """Objects of one request carry two checksums, and the server compares them before it stores anything."""
    begun = time.monotonic()
    write(ground.posix("lab"))
    with Proxy(seaweedfs.endpoint) as proxy:
        prefix = ground.s3("far", seaweedfs, proxy.url)
        ground.start()
        proxy.aim(Way.UP, aims())
        transfer = ground.submit(*[(f"lab:/{name}", f"far:/{name}") for name in names()])
        client = seaweedfs.client()
        wrong = judged(ground, transfer, lambda name: _object(client, seaweedfs.bucket, prefix + name), proxy)
    record("faults.flips", runs=FILES, bad=len(wrong), seconds=time.monotonic() - begun, seed=SEED, way="to S3")
    assert wrong == []


@pytest.mark.parametrize("as_folder", [False, True], ids=["files", "folder"])
def test_on_the_way_from_s3(ground: Ground, seaweedfs: S3Server, as_folder: bool) -> None:
    """The objects have a checksum, as those have that SciGate has stored; a listing does not tell it."""
    begun = time.monotonic()
    source, back = ground.posix("lab"), ground.posix("back")
    write(source)
    with Proxy(seaweedfs.endpoint) as proxy:
        prefix = ground.s3("near", seaweedfs)
        ground.s3("far", seaweedfs, proxy.url)
        ground.storages["far"]["prefix"] = prefix
        ground.start()
        stored = ground.submit(*[(f"lab:/{name}", f"near:/{name}") for name in names()])
        assert ground.settled(stored)["state"] == "DONE"
        proxy.aim(Way.DOWN, aims())
        pairs = [("far:/", "back:/")] if as_folder else [(f"far:/{name}", f"back:/{name}") for name in names()]
        wrong = judged(ground, ground.submit(*pairs), lambda name: (back / name).read_bytes(), proxy)
    record("faults.flips", runs=FILES, bad=len(wrong), seconds=time.monotonic() - begun, seed=SEED, way="from S3")
    assert wrong == []


@contextlib.contextmanager
def web(folder: Path, *, digests: bool) -> Iterator[str]:
    """The URL of a web server with the files of a folder, which tells their digests (RFC 9530) if asked to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            data = (folder / self.path.removeprefix("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"')
            if digests:
                digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
                self.send_header("Repr-Digest", f"sha-256=:{digest}:")
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_on_the_way_from_a_web_server_with_digests(ground: Ground) -> None:
    begun = time.monotonic()
    out = ground.posix("out")
    write(ground.folder / "web")
    with web(ground.folder / "web", digests=True) as upstream, Proxy(upstream) as proxy:
        ground.allowed = [f"127.0.0.1:{proxy.port}"]
        ground.http("site", proxy.url)
        ground.start()
        proxy.aim(Way.DOWN, aims())
        sources = [f"{proxy.url}/{name}" if number % 2 else f"site:/{name}" for number, name in enumerate(names())]
        pairs = [(source, f"out:/{name}") for source, name in zip(sources, names(), strict=True)]
        wrong = judged(ground, ground.submit(*pairs), lambda name: (out / name).read_bytes(), proxy)
    record("faults.flips", runs=FILES, bad=len(wrong), seconds=time.monotonic() - begun, seed=SEED, way="from the web")
    assert wrong == []


def test_a_web_server_without_digests_is_believed(ground: Ground) -> None:
    """Nothing tells the flip. What is recorded is then the truth about what is stored, not about what was there."""
    out, count = ground.posix("out"), 20
    write(ground.folder / "web", count)
    with web(ground.folder / "web", digests=False) as upstream, Proxy(upstream) as proxy:
        ground.http("site", proxy.url)
        ground.start()
        proxy.aim(Way.DOWN, aims(count))
        transfer = ground.submit(*[(f"site:/{name}", f"out:/{name}") for name in names(count)])
        assert ground.settled(transfer)["state"] == "DONE"
        assert proxy.flipped == count
    for number, file in enumerate(ground.files(transfer)):
        stored = (out / f"f{number}").read_bytes()
        assert stored != payload(number)
        assert file["digests"]["blake3"] == blake3(stored).hexdigest()


def _object(client: Any, bucket: str, key: str) -> bytes:
    found: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return found
