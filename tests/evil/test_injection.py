"""Line breaks, escapes and JSON in everything that a user controls: no header, no line of the log and no sequence that
steers a terminal comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.evidence import record

from .attacks import in_header
from .commands import said_by
from .gateway import TOKENS, Evil, command_environment
from .test_paths_in_bodies import creation, settle
from .volley import Shot, fire
from .wire import Reply

V1 = "/api/v1"
FILES = f"{V1}/files/lab"
INJECTED = "X-Injected"
NOBODY = "http://127.0.0.1:9"
PAYLOADS = (
    f"a\r\n{INJECTED}: yes", f"a\n{INJECTED}: yes", f"a\r{INJECTED}: yes", f"a\r\n\r\nHTTP/1.1 200 OK\r\n{INJECTED}: y",
    f"a%0d%0a{INJECTED}: yes", f"a\u560d\u560a{INJECTED}: yes", f"a\u2028{INJECTED}: yes", f"a\x85{INJECTED}: yes",
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x1b]52;c;aGFja2Vk\x07", "\x9b31mred", "\x1b[1A\x1b[2Kgone",
    "a\x08\x08b",
    '"}\n{"level": "error", "message": "INJECTED"}', '\\"}\n{"logger": "scigate.access", "user": "root"}', "a\x00b",
    "a\tb\x0bc\x0cd", "a\x7fb", "\u202etxt.exe", "\u2066a\u2069", "${jndi:ldap://127.0.0.1/a}", "%(levelname)s %s %n",
    "{0.__class__}", "{{7*7}}", "<script>alert(1)</script>", '"; filename="evil.sh', "'; DROP TABLE file; --",
    "' OR 1=1 --", "\udcff\udcfe\n", "\U000e0041tag", "=cmd|' /C calc'!A0", "a\u0000\u001b[0m",
)  # fmt: skip


@pytest.fixture(scope="module")
def asked(evil: Evil) -> Iterator[list[tuple[Shot, Reply]]]:
    """Every payload in every field, and what was answered."""
    (evil.lab / "folder").mkdir()
    (evil.lab / "folder" / "file").write_bytes(b"data")
    found: list[tuple[Shot, Reply]] = []

    def keep(shot: Shot, reply: Reply) -> None:
        found.append((shot, reply))

    fire(evil, [shot for payload in PAYLOADS for shot in shots_of(payload)], judge=keep)
    settle(evil)
    yield found


def shots_of(payload: str) -> list[Shot]:
    """``payload`` in every field of every request that has one."""
    quoted, raw = in_header(payload.replace("%", "%25")).decode(), payload.encode("utf-8", "surrogateescape")
    tidy = payload.replace("/", "_")

    def transfer(**more: object) -> Shot:
        pair = {"source": "lab:/folder/file", "destination": f"peer:/{tidy}"}
        return Shot("POST", f"{V1}/transfers", {"files": [pair], "overwrite": "overwrite", **more})

    def with_header(name: str) -> Shot:
        return Shot("GET", f"{FILES}/folder/file", b"", [(name.encode(), raw)])

    return [
        Shot("PUT", f"{FILES}/folder/{quoted}?overwrite=overwrite", b"data"), Shot("GET", f"{FILES}/folder/{quoted}"),
        Shot("HEAD", f"{FILES}/folder/{quoted}"), Shot("GET", f"{FILES}/folder/?archive=zip&after={quoted}"),
        Shot("GET", f"{FILES}/folder/?limit=1&after={quoted}"), Shot("POST", f"{FILES}/{quoted}/"),
        Shot("GET", f"{FILES}/{quoted}/?archive=tar"), Shot("DELETE", f"{FILES}/no/{quoted}"),
        Shot("PUT", f"{FILES}/folder/labelled?overwrite=overwrite&label={quoted}", b"data"),
        Shot("GET", f"{V1}/storages/{quoted}"), Shot("GET", f"{V1}/transfers/{quoted}"), Shot("GET", f"/{quoted}"),
        Shot("GET", f"{V1}/transfers?after={quoted}"), Shot("GET", f"{V1}/transfers?{quoted}={quoted}"),
        Shot("GET", f"{V1}/events?topics={quoted}"), Shot("GET", f"{V1}/uploads?after={quoted}"),
        transfer(), transfer(label=payload), transfer(**{tidy: 1}),
        Shot("POST", f"{V1}/transfers", {"files": [{"source": f"lab:/{payload}", "destination": "peer:/a"}]}),
        Shot("POST", f"{V1}/transfers", {"files": [{"source": f"{NOBODY}/{payload}", "destination": "peer:/a"}]}),
        Shot("POST", f"{V1}/moves", {"source": f"lab:/{payload}", "destination": f"lab:/{payload}2"}),
        Shot("POST", f"{V1}/manifests", {"destination": "peer:/m/", "files": [{"path": payload, "size": 0}],
                                         "label": payload}),
        Shot("POST", f"{V1}/webhooks", {"url": f"{NOBODY}/{payload}"}),
        Shot("POST", f"{V1}/webhooks", {"url": f"http://{payload}/"}),
        Shot("POST", f"{V1}/webhooks", {"url": "http://127.0.0.1:9/", "topics": [payload]}),
        Shot("POST", f"{V1}/webhooks", {"url": "http://127.0.0.1:9/", "types": [payload]}),
        creation(destination="lab:/up/", filename=payload), creation(destination=f"lab:/up/{payload}", label=payload),
        creation(destination="lab:/up/x", digest=payload), creation(destination="lab:/up/", relativePath=payload),
        Shot("POST", f"{V1}/uploads?destination=lab:/up/{quoted}&label={quoted}", b"",
             {"Upload-Complete": "?1", "Content-Type": "application/octet-stream"}),
        *(with_header(name) for name in ("User-Agent", "X-Request-ID", "Idempotency-Key", "If-None-Match", "Range",
                                         "Referer", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Origin",
                                         "Want-Repr-Digest", "Content-Disposition", "traceparent")),
    ]  # fmt: skip


def test_no_header_is_injected(asked: list[tuple[Shot, Reply]]) -> None:
    begun, bad = time.monotonic(), []
    for shot, reply in asked:
        names = {name.lower() for name, _ in reply.headers}
        values = "".join(value for _, value in reply.headers)
        if INJECTED.lower() in names or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in values):
            bad.append(f"{shot}: {reply.headers}")
        fault = reply.fault(head=shot.method == "HEAD")
        if fault and not (reply.status in (0, 400) and not reply.body):  # a header that is no HTTP
            bad.append(f"{shot}: {fault}")
    record("evil.injection", runs=len(asked), bad=len(bad), seconds=time.monotonic() - begun)
    assert len(asked) >= 1000
    assert bad == []


def test_json_answers_hold_no_control_characters(asked: list[tuple[Shot, Reply]]) -> None:
    """A terminal that shows an answer as it comes is not steered by it; DEL is no sequence, and JSON leaves it."""
    bad = [str(shot) for shot, reply in asked if "json" in reply.header("Content-Type")
           and any(byte < 32 or byte > 127 for byte in reply.body)]  # fmt: skip
    assert bad == []


def test_the_log_stays_one_object_a_line(evil: Evil, asked: list[tuple[Shot, Reply]]) -> None:
    raw = evil.log.read_bytes()
    assert not [byte for byte in raw if (byte < 32 and byte != 10) or byte >= 127]
    lines = evil.lines()
    assert len(lines) > len(asked)
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert line["logger"].startswith(("scigate", "tornado", "asyncio")), line
        assert line["message"] != "INJECTED"
        assert line.get("user") != "root" or line["logger"] == "scigate.access"


@pytest.mark.parametrize("words", [
    ("transfers",), ("transfers", "--json"), ("ls", "lab:/folder/"), ("ls", "peer:/"), ("ls", "--json", "lab:/folder/"),
    ("show", "{transfer}"), ("uploads",), ("webhooks",), ("rm", "lab:/no\x1b[2J\n"), ("ls", "lab:/\x1b]0;x\x07/"),
    ("show", "\x1b[31m"), ("mv", "lab:/\x1b[2J", "lab:/\r\nx"), ("mkdir", "lab:/..\x1b[0m/"),
], ids=ascii)  # fmt: skip
def test_no_command_prints_what_steers_a_terminal(
    evil: Evil, asked: list[tuple[Shot, Reply]], words: tuple[str, ...]
) -> None:
    labelled = evil.wire().ask("GET", f"{V1}/transfers?limit=1").json["items"][0]["id"]
    command = [word.replace("{transfer}", labelled) for word in words]
    environment = {**command_environment(evil.folder), "SCIGATE_URL": f"http://127.0.0.1:{evil.port}",
                   "SCIGATE_TOKEN": TOKENS["ada"]}  # fmt: skip
    code, said = said_by(command, environment, evil.folder)
    text = said.decode("utf-8")
    assert not [c for c in text if c != "\n" and not c.isprintable()], text
    assert code != 70, text
    assert text


def test_what_is_stored_comes_back_as_it_was(evil: Evil, asked: list[tuple[Shot, Reply]]) -> None:
    """Nothing was made harmless on the way in: a name is what it was."""
    names = {entry["name"] for entry in evil.wire().ask("GET", f"{FILES}/folder/").json["items"]}
    assert "\x1b[2J\x1b[31mred" in names
    assert json.loads(json.dumps(sorted(names))) == sorted(names)
