"""Requests that are too much: limits hold, the answer is a 4xx that explains itself, memory does not grow, and others
are served meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from typing import Any

import pytest
from scigate.gateway_api.http.routes import ROUTES
from scigate.gateway_api.resources import FileRequest, FileToSend
from scigate.gateway_api.validation import KEYS_MAX

from tests.evidence import record

from .gateway import TOKENS, Evil
from .test_paths_in_bodies import metadata
from .wire import Reply, Wire

V1 = "/api/v1"
MIB = 1 << 20
TRANSFERS = f"{V1}/transfers"
JSON = {"Content-Type": "application/json"}
TUS = {"Tus-Resumable": "1.0.0"}
PAIR = {"source": "lab:/file", "destination": "mem:/copy"}
GROWTH = 300 * MIB
"""More than what the largest allowed body needs, with what Python makes of it; two would not fit."""


def deep(opening: str, closing: str, depth: int) -> bytes:
    return b'{"files": ' + opening.encode() * depth + closing.encode() * depth + b"}"


def numbers() -> list[bytes]:
    """Where a number is expected."""
    wild = ("9223372036854775808", "-1", "1e400", "-1e400", "1e2", "5.5", "NaN", "Infinity", "-Infinity", "0x10", "1_0",
            "0" * 50 + "5", "9" * 5000, "true", '"5"', "[]", "{}", "null", "1e-400", "-0", "10")  # fmt: skip
    pair = json.dumps(PAIR).encode()
    return [b'{"files": [' + pair + b'], "priority": ' + number.encode() + b"}" for number in wild]


def bodies() -> dict[str, bytes]:
    many = [{"source": "lab:/../x", "destination": f"mem:/{n}"} for n in range(10_000)]
    return {
        "10,001 files": json.dumps({"files": [PAIR] * 10_001}).encode(),
        "10,000 wrong files": json.dumps({"files": many}).encode(),
        "10,000 times the same destination": json.dumps({"files": [PAIR] * 10_000}).encode(),
        "deep lists": deep("[", "]", 100_000),
        "deep objects": b'{"files": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        "deep and not closed": b"[" * 1_000_000,
        "a million keys": b"{" + b",".join(b'"k%d":0' % n for n in range(1_000_000)) + b"}",
        "keys twice": b'{"files": [], "files": [' + json.dumps(PAIR).encode() + b"]}",
        "a label of 5 MB": json.dumps({"files": [PAIR], "label": "x" * 5_000_000}).encode(),
        "a path of 5 MB": json.dumps({"files": [{**PAIR, "destination": "mem:/" + "x" * 5_000_000}]}).encode(),
        "a URL of 5 MB": json.dumps({"files": [{**PAIR, "source": "http://127.0.0.1:9/" + "x" * 5_000_000}]}).encode(),
        "17 MiB": b" " * (17 * MIB) + b"{}",
        "gzip": gzip.compress(json.dumps({"files": [PAIR]}).encode()),
        "a gzip bomb": gzip.compress(b"0" * 50_000_000),
        "no UTF-8": b'{"files": "\xff\xfe"}',
        "UTF-16": json.dumps({"files": [PAIR]}).encode("utf-16"),
        "lone surrogates": b'{"files": [{"source": "lab:/\\ud800", "destination": "mem:/\\udfff"}]}',
        "a NUL": b'{"files": [{"source": "lab:/\\u0000", "destination": "mem:/a"}], "label": "\\u0000"}',
        "a million files that are none": b'{"files": [' + b"0," * 1_000_000 + b"0]}",
        "10,000 files with extra keys": json.dumps({"files": [{**PAIR, **{f"k{n}": 0 for n in range(90)}}] * 10_000})[
            : 15 * MIB
        ].encode(),
        "nothing": b"",
        "a list": b"[]",
        "a million zeros": b"0" * 1_000_000,
        "a number of a million digits": b'{"files": ' + b"9" * 1_000_000 + b"}",
        "two documents": b"{}{}",
        **{f"number {number}": body for number, body in enumerate(numbers())},
    }


def test_bodies_that_are_too_much(evil: Evil) -> None:
    (evil.lab / "file").write_bytes(b"data")
    wire, begun, before, bad = evil.wire(), time.monotonic(), evil.memory(), []
    for name, body in bodies().items():
        for more in ({}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"})[: 3 if "gzip" in name else 1]:
            reply = wire.ask("POST", TRANSFERS, body, {**JSON, **more})
            fault = reply.fault()
            if fault:
                bad.append(f"{name}: {fault}")
            if reply.status < 400 and not name.startswith("number"):
                bad.append(f"{name}: accepted")
    grown = evil.memory() - before
    record("evil.bombs", runs=len(bodies()), bad=len(bad) + (grown > GROWTH), seconds=time.monotonic() - begun,
           kind="bodies", grown_mib=grown // MIB)  # fmt: skip
    assert bad == []
    assert grown < GROWTH


def test_manifests_that_are_too_much(evil: Evil) -> None:
    wire, begun, before, bad = evil.wire(), time.monotonic(), evil.memory(), []
    path = "a/" * 100 + "f"
    manifests: dict[str, Any] = {
        "10,001": {"destination": "mem:/m/", "files": [{"path": f"f{n}", "size": 0} for n in range(10_001)]},
        "twins": {"destination": "mem:/m/", "files": [{"path": "f", "size": 0}] * 10_000},
        "nested": {"destination": "mem:/m/", "files": [{"path": path[n % 200 :] + str(n), "size": 0}
                                                       for n in range(9_999)] + [{"path": "../x", "size": 1}]},
        "huge": {"destination": "mem:/m/", "files": [{"path": "f", "size": (1 << 63) - 1}]},
        "too huge": {"destination": "mem:/m/", "files": [{"path": "f", "size": 1 << 63}]},
        "negative": {"destination": "mem:/m/", "files": [{"path": "f", "size": -1}]},
        "long": {"destination": "mem:/m/", "files": [{"path": "x" * 5_000, "size": 1}]},
    }  # fmt: skip
    for name, body in manifests.items():
        reply = wire.ask("POST", f"{V1}/manifests", body)
        if (fault := reply.fault()) or reply.status < 400 or len(reply.body) > 100_000:
            bad.append(f"{name}: {fault or reply.status}, {len(reply.body)} bytes of answer")
    grown = evil.memory() - before
    record("evil.bombs", runs=len(manifests), bad=len(bad), seconds=time.monotonic() - begun, kind="manifests")
    assert bad == []
    assert grown < GROWTH


def headers() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Name → method, target, headers."""
    file, uploads = f"{V1}/files/lab/file", f"{V1}/uploads"
    length = {
        f"Upload-Length {value}": ("POST", f"{uploads}?destination=mem:/u", {**TUS, "Upload-Length": value})
        for value in ("9223372036854775808", "-1", "1e400", "0x1", "１", "", " ", "1 2", "+1", "9" * 4000, "1.0", "NaN")
    }
    ranges = {
        f"Range {value[:40]}": ("GET", file, {"Range": value})
        for value in (
            "bytes=" + ",".join(f"{n}-{n}" for n in range(3000)), "bytes=" + ",".join(["0-"] * 3000),
            "bytes=9223372036854775808-", "bytes=-9223372036854775809", "bytes=5-1", "bytes=a-b", "bytes=--1",
            "bytes=0-" + "9" * 4000, "octets=0-1", "bytes 0-1", "bytes=" + "9" * 4000 + "-", "bytes=0-0" + " " * 4000,
        )
    }  # fmt: skip
    many = {
        "10,000 cookies": ("GET", file, {"Cookie": "; ".join(f"a{n}=b" for n in range(2500))}),
        "a long header": ("GET", file, {"X-Long": "x" * 60_000}),
        "a long key": ("POST", TRANSFERS, {**JSON, "Idempotency-Key": "x" * 5000}),
        "a long If-None-Match": ("GET", file, {"If-None-Match": ", ".join(f'"{n}"' for n in range(4000))}),
        "a long Want-Repr-Digest": ("GET", file, {"Want-Repr-Digest": ", ".join(f"a{n}=1" for n in range(3000))}),
        "long metadata": ("POST", uploads, {**TUS, "Upload-Length": "0", "Upload-Metadata": metadata(a="x" * 20_000)}),
        "much metadata": ("POST", uploads, {**TUS, "Upload-Length": "0", "Upload-Metadata": ",".join(
            f"k{n} eA==" for n in range(900))}),
        "bad metadata": ("POST", uploads, {**TUS, "Upload-Length": "0", "Upload-Metadata": "filename ====,,,, a b c"}),
        "many parts": ("POST", uploads, {**TUS, "Upload-Concat": "final;" + " ".join([f"{uploads}/{'0' * 32}"] * 500)}),
        "a long query": ("GET", file + "?meta=" + "1" * 20_000, {}),
        "many parameters": ("GET", file + "?" + "&".join(f"a{n}=1" for n in range(3000)), {}),
        "a parameter twice": ("GET", file + "?meta=1&meta=0", {}),
        "limit 2^63": ("GET", f"{TRANSFERS}?limit=9223372036854775808", {}),
        "limit -1": ("GET", f"{TRANSFERS}?limit=-1", {}),
        "limit 1e400": ("GET", f"{TRANSFERS}?limit=1e400", {}),
        "limit of digits": ("GET", f"{TRANSFERS}?limit=" + "9" * 5000, {}),
        "a wild cursor": ("GET", f"{TRANSFERS}?after=" + "%F0%9F%92%A3" * 500, {}),
        "a cursor that is a number": ("GET", f"{TRANSFERS}?after=99999999999999999999999", {}),
        "a long path": ("GET", f"{V1}/files/lab/" + "a" * 20_000, {}),
        "a long Authorization": ("GET", file, {"Authorization": "Bearer " + "x" * 20_000}),
        "a date": ("PUT", f"{V1}/files/lab/dated?modified=99999999999-01-01", {}),
        "a date before all": ("PUT", f"{V1}/files/lab/dated?modified=0001-01-01T00:00:00%2B23:59", {}),
        "a date after all": ("PUT", f"{V1}/files/lab/dated?modified=9999-12-31T23:59:59-23:59", {}),
        "an override": ("POST", f"{uploads}/{'0' * 32}", {"X-HTTP-Method-Override": "DELETE\t/etc"}),
        "an upgrade": ("GET", f"{V1}/events/ws", {"Connection": "Upgrade", "Upgrade": "h2c"}),
    }  # fmt: skip
    return {**length, **ranges, **many}


def test_headers_and_queries_that_are_too_much(evil: Evil) -> None:
    (evil.lab / "file").write_bytes(b"data")
    begun, before, bad = time.monotonic(), evil.memory(), []
    for name, (method, target, given) in headers().items():
        wire = evil.wire()
        reply = wire.ask(method, target, b"", given)
        if (fault := reply.fault()) and not is_bare_refusal(reply):
            bad.append(f"{name}: {fault}")
        if not serves(evil):
            bad.append(f"{name}: the gateway does not answer any more")
    record("evil.bombs", runs=len(headers()), bad=len(bad), seconds=time.monotonic() - begun, kind="headers")
    assert bad == []
    assert evil.memory() - before < GROWTH


def is_bare_refusal(reply: Reply) -> bool:
    """What cannot be read as HTTP at all is refused before anything of ours sees it, and the connection is closed."""
    return reply.status in (0, 400, 413, 431) and not reply.body


def serves(evil: Evil) -> bool:
    return evil.wire().ask("GET", f"{V1}/storages").status == 200


TYPES = ("", "text/plain", "text/plain;charset=application/json", "application/x-www-form-urlencoded", "text/json",
         "multipart/form-data; boundary=x", "application/xml", "text/xml", "application/octet-stream", "application",
         "application/json5", "application/jsonx", "application/x-json", "*/*", "application/*", "json", "\x0b",
         "application/x-python-pickle", "application/yaml", "text/html", "application/problem+json")  # fmt: skip


def test_json_is_taken_as_json_only(evil: Evil) -> None:
    """A form of a foreign page can send other types without being asked, so they are refused."""
    routes = [route for route in ROUTES if isinstance(route.body, type)]
    begun, wire, bad = time.monotonic(), evil.wire(), []
    for route in routes:
        for kind in TYPES:
            reply = wire.ask(route.method, route.path.format(id="0" * 32), b"{}", {"Content-Type": kind})
            if reply.status not in (400, 415) or (reply.fault() and not is_bare_refusal(reply)):
                bad.append(f"{route.method} {route.path} as {kind}: {reply.status} {reply.body[:100]!r}")
    record("evil.bombs", runs=len(routes) * len(TYPES), bad=len(bad), seconds=time.monotonic() - begun, kind="types")
    assert len(routes) >= 4
    assert bad == []


HEAD = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['ada']}\r\nContent-Type: application/json\r\n"
SECOND = f"GET {V1}/storages/peer HTTP/1.1\r\n{HEAD}\r\n"
SMUGGLED = {
    "CL and TE": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE and CL": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SECOND,
    "two CL": "Content-Length: 0\r\nContent-Length: 50\r\n\r\n" + SECOND,
    "CL list": "Content-Length: 0, 50\r\n\r\n" + SECOND,
    "CL plus": "Content-Length: +0\r\n\r\n" + SECOND,
    "CL minus": "Content-Length: -1\r\n\r\n" + SECOND,
    "CL hexadecimal": "Content-Length: 0x0\r\n\r\n" + SECOND,
    "CL underscore": "Content-Length: 0_0\r\n\r\n" + SECOND,
    "CL letter": "Content-Length: 0a\r\n\r\n" + SECOND,
    "CL huge": "Content-Length: " + "9" * 400 + "\r\n\r\n" + SECOND,
    "CL of other digits": "Content-Length: \u0660\r\n\r\n" + SECOND,
    "TE twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SECOND,
    "TE list": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    "TE gzip": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE unknown": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE with a space": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE folded": "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SECOND,
    "TE with a control": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunk negative": "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n" + SECOND,
    "chunk hexadecimal": "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk plus": "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk underscore": "Transfer-Encoding: chunked\r\n\r\n1_0\r\n" + "a" * 16 + "\r\n0\r\n\r\n" + SECOND,
    "chunk with a space": "Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk huge": "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk too long": "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" + SECOND,
    "chunk of words": "Transfer-Encoding: chunked\r\n\r\nxyz\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk extension": "Transfer-Encoding: chunked\r\n\r\n1;" + "x" * 70_000 + "\r\na\r\n0\r\n\r\n" + SECOND,
    "a CR in a value": "X: a\rContent-Length: 50\r\nContent-Length: 0\r\n\r\n" + SECOND,
    "a NUL in a value": "X: a\0b\r\nContent-Length: 0\r\n\r\n" + SECOND,
    "no colon": "Nonsense\r\nContent-Length: 0\r\n\r\n" + SECOND,
    "empty name": ": x\r\nContent-Length: 0\r\n\r\n" + SECOND,
}


def test_no_request_is_smuggled_in_another(evil: Evil) -> None:
    """Whatever two readers could read differently is refused, and the connection with it."""
    begun, bad = time.monotonic(), []
    for name, rest in SMUGGLED.items():
        message = f"POST {TRANSFERS} HTTP/1.1\r\n{HEAD}{rest}".encode()
        said = spoken(evil.port, message)
        answers = said.count(b"HTTP/1.1 ")
        refused = said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 422", b"HTTP/1.1 501")) or not said
        if b'"peer"' in said or answers > 1 or not refused:
            bad.append(f"{name}: {answers} answers, {said[:200]!r}")
    record("evil.bombs", runs=len(SMUGGLED), bad=len(bad), seconds=time.monotonic() - begun, kind="smuggling")
    assert bad == []
    assert serves(evil)


def spoken(port: int, message: bytes, patience: float = 1.0, wanted: bytes = b"") -> bytes:
    """All that is said to these bytes until it is quiet, behind what is ``wanted``, or the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        with contextlib.suppress(OSError):  # it may have answered and hung up; what it said can still be read
            connection.sendall(message)
        said, quiet = b"", 60.0
        try:
            while True:
                connection.settimeout(quiet)
                piece = connection.recv(65536)
                if not piece:
                    return said
                said += piece
                quiet = patience if wanted in said else quiet
        except OSError:
            return said


def test_others_are_served_while_hundreds_dawdle(evil: Evil) -> None:
    """Half a head, half a body and one byte at a time, on 300 connections."""
    halves = (
        f"GET {V1}/storages HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        f"POST {TRANSFERS} HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n{{",
        f"PUT {V1}/files/lab/slow HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\nx",
        "",
    )
    begun, before = time.monotonic(), evil.memory()
    dawdling = [socket.create_connection(("127.0.0.1", evil.port)) for _ in range(300)]
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.2):
            for connection in dawdling[::7]:
                with contextlib.suppress(OSError):  # half a body is not waited for longer than its time
                    connection.send(b"x")

    dripping = threading.Thread(target=drip)
    try:
        for number, connection in enumerate(dawdling):
            connection.sendall(halves[number % len(halves)].encode())
        dripping.start()
        wire, slowest = Wire(evil.port, TOKENS["bo"]), 0.0
        for _ in range(50):
            asked = time.monotonic()
            assert wire.ask("GET", f"{V1}/storages").status == 200
            slowest = max(slowest, time.monotonic() - asked)
        wire.close()
    finally:
        ended.set()
        dripping.join()
        for connection in dawdling:
            connection.close()
    grown = evil.memory() - before
    record("evil.bombs", runs=300, bad=int(grown > GROWTH), seconds=time.monotonic() - begun, kind="dawdling",
           slowest_ms=round(1000 * slowest))  # fmt: skip
    assert grown < GROWTH
    assert slowest < 30


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_a_body_where_none_is_expected_is_not_kept(evil: Evil, method: str) -> None:
    before = evil.memory()
    message = f"{method} {V1}/files/lab/file HTTP/1.1\r\n{HEAD}Content-Length: 1000000000\r\n\r\n"
    said = spoken(evil.port, message.encode() + b"x" * 100_000)
    assert said.startswith(b"HTTP/1.1 413") or said == b""
    assert evil.memory() - before < GROWTH


def test_every_good_object_fits() -> None:
    """The limit of keys in one object refuses nothing that a route can read."""
    models = [route.body for route in ROUTES if isinstance(route.body, type)]
    assert max(len(model.model_fields) for model in (*models, FileRequest, FileToSend)) <= KEYS_MAX
