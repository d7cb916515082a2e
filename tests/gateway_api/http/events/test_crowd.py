"""A crowd of followers who read nothing: transfers go on as without them, and memory stays bounded."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway_api.conftest import TOKENS

from .conftest import STREAM, done, following, submit

CROWD = 2000
FILES = 500


@pytest.mark.long
def test_a_crowd_that_reads_nothing_costs_little(
    start_gateway: Callable[..., Any], tmp_path: Path, missing: Callable[[str], Any]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CROWD + 500:
        missing(f"needs {2 * CROWD + 500} open files; the system grants {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with start_gateway(tmp_path, f"[limits]\nevent_streams_per_user = {CROWD + 10}\n") as gateway:
            _compare(gateway, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _compare(gateway: Any, folder: Path) -> None:
    (folder / "lab" / "many").mkdir()
    for number in range(FILES):
        (folder / "lab" / "many" / f"f{number}").write_bytes(b"x" * 100)
    bearer = {"Authorization": f"Bearer {TOKENS['ada']}"}
    with httpx.Client(base_url=gateway.url, headers=bearer, timeout=60) as client, ExitStack() as crowd:
        copy(client, gateway, "warm")
        alone = [copy(client, gateway, f"alone{number}") for number in range(2)]
        before = memory(gateway.process.pid)
        sockets = [crowd.enter_context(open_stream(gateway.url)) for _ in range(CROWD)]
        assert all(one.recv(15) == b"HTTP/1.1 200 OK" for one in sockets[::50])
        among = [copy(client, gateway, f"among{number}") for number in range(3)]
        # A fifth of one processor goes to followers, and as much to pages; the rest is what they cost the kernel.
        assert sum(among) / 3 < 2.5 * sum(alone) / 2 + 1, (alone, among)
        assert memory(gateway.process.pid) - before < CROWD * 100_000 + 100_000_000
        id = submit(client, ("lab:/many/f0", "mem:/live"))
        with following(client, topics=f"transfer:{id}", after="0") as live:
            assert live.events(done(id))[-1]["data"]["transfer"] == id, "who reads is still served"


def copy(client: httpx.Client, gateway: Any, name: str) -> float:
    """Copy the folder; returns the seconds of processor time that the gateway needed."""
    begun = processor(gateway.process.pid)
    id = submit(client, ("lab:/many/", f"archive:/{name}/"))
    end = time.monotonic() + 120
    while client.get(f"/api/v1/transfers/{id}").json()["state"] != "DONE":
        assert time.monotonic() < end
        time.sleep(0.2)
    return processor(gateway.process.pid) - begun


def open_stream(url: str) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(60)
    one.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    head = f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['ada']}\r\n\r\n"
    one.sendall(head.encode())
    return one


def processor(pid: int) -> float:
    """Seconds of processor time of a process, by proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that a process holds in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
