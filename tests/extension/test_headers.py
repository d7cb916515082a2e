"""What passes a forwarding server, and how it is changed."""

from __future__ import annotations

import pytest
from scigate.extension.headers import Rewriting, is_plain, query_to_gateway, to_client, to_gateway

REWRITE = Rewriting("http://127.0.0.1:8470", ("/services/scigate", ""), "/user/ada/scigate")


def test_what_proves_something_to_this_server_stays_here() -> None:
    kept = [("Upload-Offset", "5"), ("Range", "bytes=1-"), ("Content-Length", "3"), ("Idempotency-Key", "k")]
    dropped = ["Cookie", "Authorization", "X-XSRFToken", "Host", "Origin", "Referer", "Sec-Fetch-Mode", "Connection",
               "Keep-Alive", "TE", "Upgrade", "Transfer-Encoding", "Expect", "X-Forwarded-For"]  # fmt: skip
    assert list(to_gateway([*kept, *((name, "x") for name in dropped)])) == kept


def test_what_connection_names_is_of_one_connection() -> None:
    given = [("Connection", "close, X-Private"), ("x-private", "1"), ("X-Public", "2")]
    assert list(to_gateway(given)) == [("X-Public", "2")]
    assert list(to_client(given, REWRITE)) == [("X-Public", "2")]


def test_the_gateway_says_nothing_in_this_servers_name() -> None:
    dropped = ["Set-Cookie", "Server", "WWW-Authenticate", "Strict-Transport-Security", "Clear-Site-Data",
               "Access-Control-Allow-Origin", "Transfer-Encoding", "Service-Worker-Allowed"]  # fmt: skip
    kept = [("ETag", '"1"'), ("Content-Security-Policy", "sandbox"), ("Repr-Digest", "sha-256=:x:")]
    assert list(to_client([*kept, *((name, "x") for name in dropped)], REWRITE)) == kept


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("Location", "/services/scigate/api/v1/uploads/1", "/user/ada/scigate/api/v1/uploads/1"),
        ("Location", "http://127.0.0.1:8470/services/scigate/api/v1/x", "/user/ada/scigate/api/v1/x"),
        ("location", "/api/v1/transfers/2", "/user/ada/scigate/api/v1/transfers/2"),
        ("Location", "https://store.example/api/v1/x?sig=1", "https://store.example/api/v1/x?sig=1"),
        ("Location", "http://127.0.0.1:84701/api/v1/x", "http://127.0.0.1:84701/api/v1/x"),
        ("Location", "/services/other/api/v1/x", "/services/other/api/v1/x"),
        ("Link", '</services/scigate/api/v1/t?a=1>; rel="next"', '</user/ada/scigate/api/v1/t?a=1>; rel="next"'),
        ("X-Other", "/api/v1/x", "/api/v1/x"),
    ],
)  # fmt: skip
def test_addresses_become_those_of_this_server(name: str, value: str, changed: str) -> None:
    assert list(to_client([(name, value)], REWRITE)) == [(name, changed)]


def test_a_query_passes_letter_for_letter_without_what_is_ours() -> None:
    assert query_to_gateway("after=a%2Fb%20c&token=secret&_xsrf=x&%74oken=y&meta=1") == "after=a%2Fb%20c&meta=1"
    assert query_to_gateway("token=secret") == ""


@pytest.mark.parametrize("path", ["/api/v1/../x", "/api/v1/%2e%2e/x", "/api/v1/.%2E", "/api/v1/a/./b", "/a\\b", "/a b"])
def test_a_path_that_leads_elsewhere_is_seen(path: str) -> None:
    assert not is_plain(path)


@pytest.mark.parametrize("path", ["/api/v1/files/lab/a..b", "/api/v1/files/lab/...", "/api/v1/files/lab/%ff%0a%23"])
def test_an_odd_name_is_no_way_elsewhere(path: str) -> None:
    assert is_plain(path)
