"""The storage API through the Jupyter Server: bodies, answers, errors and WebSockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from jupyter_server.auth import Authorizer

from .conftest import PATIENCE

Api = Callable[..., Any]
V1 = "api/v1"
MiB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Browser:
    """Raw HTTP to the Jupyter Server, with its token."""

    def __init__(self, port: int, base: str, token: str) -> None:
        self._port, self._base, self._token = port, base, token

    async def begin(self, method: str, path: str, headers: dict[str, Any], version: str = "1.1") -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        own = {"Host": f"127.0.0.1:{self._port}", "Authorization": f"token {self._token}"}
        lines = [f"{method} {self._base}scigate/{path} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in (own | headers).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return reader, writer


@pytest.fixture
def browser(jp_serverapp: Any, http_server: Any, jp_base_url: str, extension: Any) -> Browser:
    return Browser(jp_serverapp.port, jp_base_url, jp_serverapp.identity_provider.token)


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}


class Upstream:
    """A raw server in the gateway's place: it counts what it gets, and answers as told."""

    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.body = 0
        self.began = asyncio.Event()
        self.broke_off = asyncio.Event()
        self.behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = self.read_all

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.began.set()
            await self.behave(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.broke_off.set()
        writer.close()

    async def read_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(MiB):
            self.body += len(data)
        self.broke_off.set()


@pytest.fixture
def upstream(jp_asyncio_loop: Any, environment: pytest.MonkeyPatch) -> Iterator[Upstream]:
    found = Upstream()
    server = jp_asyncio_loop.run_until_complete(asyncio.start_server(found.serve, "127.0.0.1", 0))
    environment.setenv("SCIGATE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/services/scigate")
    environment.setenv("JUPYTERHUB_API_TOKEN", "token-of-the-hub")
    yield found
    server.close()


async def test_files_with_their_headers(hub: Any, api: Api) -> None:
    (hub.lab / "f").write_bytes(b"0123456789")
    status, headers, body = await api("GET", f"{V1}/files/lab/f", headers={"Range": "bytes=2-4"})
    assert (status, body, headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    status, headers, body = await api("HEAD", f"{V1}/files/lab/f")
    assert (status, body, headers["Content-Length"]) == (200, b"", "10")
    assert headers["Content-Security-Policy"].endswith("sandbox")
    assert headers["Content-Disposition"].startswith("attachment")
    status, _, body = await api("GET", f"{V1}/files/lab/f", headers={"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")
    status, headers, _ = await api("OPTIONS", f"{V1}/uploads")
    assert (status, headers["Tus-Version"]) == (204, "1.0.0")
    assert "Access-Control-Allow-Methods" not in headers


async def test_errors_of_the_gateway_are_passed_on(hub: Any, api: Api) -> None:
    status, headers, body = await api("GET", f"{V1}/files/lab/none")
    assert (status, headers["Content-Type"], body["code"]) == (404, "application/problem+json", "not-found")
    assert (await api("GET", f"{V1}/files/lab/%2e%2e/%2e%2e/healthz"))[0] == 404


async def test_an_upload_is_cut_and_goes_on(hub: Any, api: Api, browser: Browser) -> None:
    data = bytes(range(256)) * 4096 * 8
    metadata = f"destination {encoded('lab:/up.bin')},filename {encoded('up.bin')}"
    status, headers, _ = await api(
        "POST", f"{V1}/uploads", headers={**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    )
    assert status == 201
    path = headers["Location"].removeprefix("/a%40b/scigate/")
    assert path.startswith(f"{V1}/uploads/")
    patch = {**TUS, "Content-Type": "application/offset+octet-stream"}
    _, writer = await browser.begin("PATCH", path, {**patch, "Upload-Offset": 0, "Content-Length": len(data)})
    writer.write(data[: 3 * MiB])
    await writer.drain()
    offset = 0
    for _ in range(1200):
        await asyncio.sleep(0.05)
        offset = int((await api("GET", path))[2]["arrived"]["bytes"])
        if offset:
            break
    writer.transport.abort()
    for _ in range(1200):
        status, headers, _ = await api("HEAD", path, headers=TUS)
        if status == 200:  # and not 423, while the one that was cut is still being ended
            rest = data[int(headers["Upload-Offset"]) :]
            status, answer, _ = await api("PATCH", path, rest, {**patch, "Upload-Offset": headers["Upload-Offset"]})
        if status == 204:
            break
        await asyncio.sleep(0.05)
    assert 0 < int(headers["Upload-Offset"]) <= 3 * MiB
    assert (status, answer["Upload-Offset"]) == (204, str(len(data)))
    for _ in range(1200):
        if (hub.lab / "up.bin").exists():
            break
        await asyncio.sleep(0.05)
    assert (hub.lab / "up.bin").read_bytes() == data


async def test_events_over_a_websocket(hub: Any, api: Api, jp_ws_fetch: Any) -> None:
    socket = await jp_ws_fetch("scigate", "api", "v1", "events", "ws", subprotocols=["scigate.v1"])
    assert socket.selected_subprotocol == "scigate.v1"
    await socket.write_message(json.dumps({"op": "subscribe", "id": "1", "topic": "transfers"}))
    while (op := json.loads(await socket.read_message())["op"]) == "heartbeat":
        pass
    assert op == "subscribed"
    _, _, answer = await api("PUT", f"{V1}/files/lab/event.txt", b"event")
    seen: list[str] = []
    while "scigate.transfer.done" not in seen and len(seen) < 50:
        message = json.loads(await asyncio.wait_for(socket.read_message(), PATIENCE))
        if message["op"] == "event":
            assert answer["transfer"]["id"] in json.dumps(message)
            seen.append(message["event"]["type"])
    hub.stop()
    while await asyncio.wait_for(socket.read_message(), PATIENCE) is not None:
        pass
    assert socket.close_code in (1001, 1012)


async def test_events_as_a_stream_come_at_once(hub: Any, api: Api, browser: Browser) -> None:
    reader, writer = await browser.begin("GET", f"{V1}/events", {})
    status, headers = await head_of(reader)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    await api("PUT", f"{V1}/files/lab/streamed.txt", b"event")
    await asyncio.wait_for(reader.readuntil(b"scigate.transfer"), PATIENCE)
    writer.close()


async def test_the_hubs_token_goes_along_and_the_browsers_proofs_do_not(
    upstream: Upstream, api: Api, jp_serverapp: Any
) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}")

    upstream.behave = behave
    sent = {"Cookie": "session=secret", "X-XSRFToken": "secret", "Accept": "text/x-test"}
    token = jp_serverapp.identity_provider.token
    status, headers, _ = await api("GET", f"{V1}/status?token={token}&_xsrf=secret&x=1", headers=sent)
    assert status == 200
    assert "a=b" not in headers.get_list("Set-Cookie")
    head = upstream.heads[0].decode()
    assert head.startswith("GET /services/scigate/api/v1/status?x=1 HTTP/1.1\r\n")
    assert "Authorization: Bearer token-of-the-hub\r\n" in head
    assert "Accept: text/x-test\r\n" in head
    assert "secret" not in head
    assert token not in head


async def test_an_answer_that_breaks_off_is_not_ended_as_if_whole(upstream: Upstream, browser: Browser) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await arrived.wait()

    arrived, upstream.behave = asyncio.Event(), behave
    reader, _ = await browser.begin("GET", f"{V1}/files/lab/x", {})
    assert (await head_of(reader))[0] == 200
    await reader.readuntil(b"hello")
    arrived.set()
    rest = await reader.read()
    assert not rest.endswith(b"0\r\n\r\n")


async def test_who_speaks_http_1_0_gets_no_answer_of_unknown_length(upstream: Upstream, browser: Browser) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

    upstream.behave = behave
    reader, _ = await browser.begin("GET", f"{V1}/files/lab/x", {}, version="1.0")
    assert (await head_of(reader))[0] == 505


async def test_a_refusal_in_the_middle_of_a_body_reaches_the_client(upstream: Upstream, browser: Browser) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    upstream.behave = behave
    reader, writer = await browser.begin("PUT", f"{V1}/files/lab/x", {"Content-Length": 1 << 40})
    answered = asyncio.ensure_future(head_of(reader))
    try:
        while not answered.done():
            writer.write(b"x" * MiB)
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass
    assert (await answered)[0] == 413


async def test_a_client_that_leaves_ends_its_request_at_the_gateway(upstream: Upstream, browser: Browser) -> None:
    _, writer = await browser.begin("PUT", f"{V1}/files/lab/x", {"Content-Length": 10 * MiB})
    writer.write(b"x" * MiB)
    await writer.drain()
    writer.transport.abort()
    await asyncio.wait_for(upstream.broke_off.wait(), PATIENCE)
    assert upstream.body < 10 * MiB


async def test_a_slow_gateway_slows_the_client(upstream: Upstream, browser: Browser) -> None:
    go_on = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await upstream.read_all(reader, writer)

    upstream.behave = behave
    _, writer = await browser.begin("PUT", f"{V1}/files/lab/x", {"Content-Length": 1 << 30})
    writer.write(b"x" * MiB)
    await asyncio.wait_for(upstream.began.wait(), PATIENCE)  # else nobody would hear that the client goes
    sent = MiB
    with pytest.raises(TimeoutError):
        while True:
            writer.write(b"x" * MiB)
            await asyncio.wait_for(writer.drain(), 1)
            sent += MiB
    assert sent < 64 * MiB
    writer.transport.abort()
    go_on.set()
    await asyncio.wait_for(upstream.broke_off.wait(), PATIENCE)


class NoWriters(Authorizer):
    """Lets everybody read, and nobody write."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" or resource != "scigate"


class TestNoWriters:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = NoWriters
        return jp_server_config

    @pytest.mark.parametrize("length", [{"Content-Length": 50 * MiB}, {"Transfer-Encoding": "chunked"}])
    async def test_of_a_refused_body_the_gateway_hears_nothing(
        self, upstream: Upstream, browser: Browser, length: dict[str, Any]
    ) -> None:
        reader, writer = await browser.begin("PATCH", f"{V1}/uploads/x", length)
        writer.write(b"10000\r\n" + b"x" * 65536)
        status, headers = await head_of(reader)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert (status, body["code"]) == (403, "access-denied")
        writer.close()
        assert upstream.connections == 0


async def test_nothing_stays_counted_however_it_ends(
    hub: Any, api: Api, browser: Browser, jp_ws_fetch: Any, extension: Any
) -> None:
    async def under_way(count: int) -> None:
        for _ in range(1200):
            if len(extension.connections._under_way) == count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(extension.connections._under_way)

    await api("GET", f"{V1}/status")
    await under_way(0)
    reader, writer = await browser.begin("GET", f"{V1}/events", {})
    await head_of(reader)
    await under_way(1)
    writer.transport.abort()
    await under_way(0)
    _, writer = await browser.begin("PUT", f"{V1}/files/lab/x", {"Content-Length": 10 * MiB})
    writer.write(b"x" * MiB)
    await writer.drain()
    await under_way(1)
    writer.transport.abort()
    await under_way(0)
    socket = await jp_ws_fetch("scigate", "api", "v1", "events", "ws", subprotocols=["scigate.v1"])
    await under_way(1)
    socket.close()
    await under_way(0)


async def test_there_is_a_limit(hub: Any, api: Api, extension: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.extension.upstream.MOST", 0)
    status, headers, body = await api("GET", f"{V1}/status")
    assert (status, body["code"], headers["Retry-After"]) == (503, "too-many-requests", "2")
