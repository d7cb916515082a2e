"""Where the HTTP client of the data plane goes and whom it trusts: targets, headers, TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scigate.storage_backends.errors import InvalidName, Misconfigured, Unreachable
from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.wire import Pool, Target, parse_url, tls_context


@pytest.mark.parametrize("headers", [{"A": "b\r\nC: d"}, {"A\n": "b"}, {"A": "\0"}])
def test_a_header_cannot_smuggle_another(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidName):
        Pool().request("GET", "http://127.0.0.1:9/", headers)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/ä", "a"])
def test_a_target_must_be_encoded(path: str) -> None:
    with pytest.raises(InvalidName):
        Pool().request("GET", Target("http", "127.0.0.1", 9, path))


def test_urls_are_taken_apart() -> None:
    assert parse_url("https://h.example/a?b=c#d") == Target("https", "h.example", 443, "/a?b=c")
    assert parse_url("http://[::1]:8080") == Target("http", "::1", 8080, "/")
    assert parse_url("http://[::1]:8080").host_header == "[::1]:8080"
    assert parse_url("http://h:80/").host_header == "h"


@pytest.mark.parametrize(
    "url", ["ftp://h/", "http://", "http://user:secret@h/", "http://h:99999/", "//h/", "http://[x/"]
)
def test_unusable_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidName) as error:
        parse_url(url)
    assert "secret" not in str(error.value)


PATIENCE = timedelta(minutes=2)


class Server(ThreadingHTTPServer):
    """A web server that answers "ok" over TLS and counts its connections."""

    connections = 0
    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    def __init__(self, authority: Authority, name: str) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.port = self.server_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue(name))

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        with self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses our certificate is what some tests are about."""


@contextmanager
def tls_server(authority: Authority, name: str) -> Iterator[Server]:
    with Server(authority, name) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def test_tls_with_a_ca_of_our_own_keeps_its_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with tls_server(authority, "127.0.0.1") as server:
        pool = Pool(tls=tls_context(authority.ca_file), connect_timeout=PATIENCE, idle=PATIENCE)
        url = f"https://127.0.0.1:{server.port}/"
        assert [pool.request("GET", url).read_all() for _ in range(2)] == [b"ok", b"ok"]
        assert server.connections == 1


def test_tls_refuses_an_unknown_authority(tmp_path: Path) -> None:
    with (
        tls_server(Authority(tmp_path), "127.0.0.1") as server,
        pytest.raises(Unreachable, match=r"certificate of 127\.0\.0\.1:[0-9]+ is not accepted"),
    ):
        Pool(connect_timeout=PATIENCE).request("GET", f"https://127.0.0.1:{server.port}/")


def test_tls_refuses_another_host_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with tls_server(authority, "other.example") as server, pytest.raises(Unreachable, match="is not accepted"):
        pool = Pool(tls=tls_context(authority.ca_file), connect_timeout=PATIENCE)
        pool.request("GET", f"https://127.0.0.1:{server.port}/")


def test_tls_verification_cannot_be_switched_off() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ValueError, match="must verify"):
        Pool(tls=context)


def test_a_ca_file_that_is_none_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(Misconfigured, match=r"ca\.pem"):
        tls_context(tmp_path / "ca.pem")
    with pytest.raises(Misconfigured, match=r"absent\.pem"):
        tls_context(tmp_path / "absent.pem")
