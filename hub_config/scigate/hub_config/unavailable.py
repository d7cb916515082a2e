"""What is answered in the gateway's place while it does not run: why, and what happens next, in words."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FORWARDED: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded")
TYPE: Final = "tag:scigate,2026:problem:gateway-not-running"
RETRY_AFTER: Final = 2  # seconds

PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>SciGate does not run</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; }}
pre {{ white-space: pre-wrap; padding: 1rem; border: 1px solid; border-radius: .3rem; }}</style></head>
<body><h1>SciGate does not run</h1><pre>{reason}</pre><p>{next_step}</p><p><a href="">Try again</a></p></body>
</html>
"""


@dataclass(frozen=True)
class Outage:
    """Why there is no gateway, in sentences without secrets, and what happens next."""

    reason: str = "The gateway is starting."
    next_step: str = "Try again in a few seconds."


@dataclass(frozen=True)
class Request:
    """The part of an HTTP request that an answer depends on; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """Read everything before the empty line. ``ValueError`` if this is no HTTP/1 request."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines if line)
        return cls(method, target.partition("?")[0], {name.lower(): value.strip() for name, _, value in pairs})


def answer(request: Request, prefix: str, outage: Outage) -> bytes:
    """A whole HTTP/1.1 answer: 503 as a page, or as problem details (RFC 9457) for programs.

    The hub's own question whether this service is there is answered with 200: on any 5xx it would end itself
    (``wait_for_http_server`` of JupyterHub).
    """
    asked_by_hub = request.path == prefix and not any(name in request.headers for name in FORWARDED)
    is_page = request.path == prefix or "text/html" in request.headers.get("accept", "")
    body, kind = (
        (_page(outage), "text/html; charset=utf-8") if is_page else (_problem(outage), "application/problem+json")
    )
    head = [
        f"HTTP/1.1 {'200 OK' if asked_by_hub else '503 Service Unavailable'}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        f"Retry-After: {RETRY_AFTER}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + (b"" if request.method == "HEAD" else body)


def _page(outage: Outage) -> bytes:
    return PAGE.format(reason=html.escape(outage.reason), next_step=html.escape(outage.next_step)).encode()


def _problem(outage: Outage) -> bytes:
    problem = {
        "type": TYPE,
        "title": "The gateway does not run.",
        "status": 503,
        "detail": outage.reason,
        "code": "gateway-not-running",
        "retriable": True,
        "next_step": outage.next_step,
    }
    return json.dumps(problem).encode()
