"""Lists of very many files that are too much: refused line by line, so many of a user at once, and nothing is kept."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from contextlib import ExitStack, closing

import pytest
from scigate.gateway_api.transfers.manifests import OPEN_MAX

from tests.evidence import record

from .gateway import TOKENS, Evil

BULK = "/api/v1/transfers/bulk"
LINES = {"Content-Type": "application/x-ndjson"}
MIB = 1 << 20
GROWTH = 150 * MIB
GOOD = json.dumps({"source": "lab:/file", "destination": "mem:/copy"}).encode() + b"\n"
HEAD = (
    f"POST {BULK} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {{token}}\r\n"
    "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def bodies() -> dict[str, bytes]:
    twice = b'{"source": "lab:/file", "destination": "mem:/a", "destination": "mem:/b"}\n'
    return {
        "keys twice": GOOD + twice,
        "keys twice 10,000 times": twice * 10_000,
        "a key that is no key": GOOD + b'{"source": "lab:/file", "destination": "mem:/a", "__class__": "x"}\n',
        "thousands of keys": GOOD + b"{" + b",".join(b'"k%d":0' % n for n in range(6_000)) + b"}\n",
        "deep lists": GOOD + b"[" * 60_000 + b"\n",
        "deep objects": GOOD + b'{"a":' * 12_000 + b"\n",
        "a line without an end": b"x" * (2 * MIB),
        "a line that is too long": GOOD + b'{"source": "lab:/' + b"x" * 70_000 + b'"}\n',
        "a million empty lines": b"\n" * MIB,
        "constants": b'{"source": Infinity, "destination": NaN}\n',
        "a list": b'["lab:/file", "mem:/copy"]\n',
        "no UTF-8": b'{"source": "lab:/\xff", "destination": "mem:/a"}\n',
        "lone surrogates": b'{"source": "lab:/\\ud800", "destination": "mem:/\\udfff"}\n',
        "a NUL": b'{"source": "lab:/\\u0000", "destination": "mem:/a"}\n',
        "paths that lead out": b'{"source": "lab:/../../etc/passwd", "destination": "mem:/a"}\n',
        "a file of ours": b'{"source": "file:///etc/passwd", "destination": "mem:/a"}\n',
        "its own storage": b'{"source": "_manifest:/x", "destination": "mem:/a"}\n',
        "bo's storage": b'{"source": "nobodys:/x", "destination": "mem:/a"}\n',
        "nothing": b"",
    }


def pieces(evil: Evil) -> int:
    with closing(sqlite3.connect(evil.folder / "state" / "scigate.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM manifest").fetchone()[0])


def none_is_kept(evil: Evil) -> bool:
    end = time.monotonic() + 150
    while pieces(evil) and time.monotonic() < end:
        time.sleep(0.1)
    return pieces(evil) == 0


def test_lines_that_are_too_much(evil: Evil) -> None:
    (evil.lab / "file").write_bytes(b"data")
    wire, begun, before, bad = evil.wire(), time.monotonic(), evil.memory(), []
    for name, body in bodies().items():
        reply = wire.ask("POST", BULK, body, LINES)
        if (fault := reply.fault()) or reply.status < 400 or len(reply.body) > 100_000:
            bad.append(f"{name}: {fault or reply.status}, {len(reply.body)} bytes of answer")
    grown = evil.memory() - before
    bad += [] if none_is_kept(evil) else ["something is kept"]
    record("evil.bombs", runs=len(bodies()), bad=len(bad), seconds=time.monotonic() - begun, kind="lists of files")
    assert bad == []
    assert grown < GROWTH


@pytest.mark.parametrize("ends", ["hangs up", "is wrong"])
def test_one_user_has_so_many_at_once_and_others_have_theirs(evil: Evil, ends: str) -> None:
    (evil.lab / "file").write_bytes(b"data")
    chunk = b"%x\r\n%s\r\n" % (len(GOOD), GOOD)
    assert none_is_kept(evil), "a list of before is still to be read"
    with ExitStack() as stack:
        opened = []
        for _ in range(OPEN_MAX):
            opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", evil.port), 60)))
            opened[-1].sendall(HEAD.format(token=TOKENS["ada"]).encode() + chunk)
        end = time.monotonic() + 150
        while pieces(evil) < OPEN_MAX:
            assert time.monotonic() < end, "the lines are not kept"
            time.sleep(0.1)
        refused = evil.wire().ask("POST", BULK, GOOD, LINES)
        assert (refused.status, refused.json["code"]) == (429, "too-many-manifests")
        assert refused.is_problem
        assert int(refused.header("Retry-After")) > 0
        assert evil.wire("bo").ask("POST", BULK, GOOD.replace(b"copy", b"bos"), LINES).status == 202
        if ends == "is wrong":
            for connection in opened:
                connection.sendall(b"2\r\n{\n\r\n0\r\n\r\n")
                assert b" 422 " in connection.recv(100)
    assert none_is_kept(evil)
    assert evil.wire().ask("POST", BULK, GOOD, LINES).status == 202
