"""An example of every request, for the description of the API; the tests send them all.

The answers, in ``examples.json`` beside, were recorded from a gateway: ``SCIGATE_RECORD_EXAMPLES=1 python -m pytest
tests/gateway_api/http/test_examples.py`` records them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from .openapi_responses import FILE

V1: Final = "/api/v1"
TRANSFER, UPLOAD, WEBHOOK = f"{V1}/transfers/{{id}}", f"{V1}/uploads/{{id}}", f"{V1}/webhooks/{{id}}"
IDS: Final[Mapping[str, str]] = {
    "done": "0d5a1c3b7e9f4a628b1d0c9e8f7a6b5c",
    "waiting": "1f0e2d3c4b5a69788796a5b4c3d2e1f0",
    "failed": "2a4c6e80b1d3f5079a8b7c6d5e4f3021",
    "upload": "3b5d7f91a2c4e6081122334455667788",
    "webhook": "4c6e80b1d3f5079a99aabbccddeeff00",
}
"""What the ids in examples stand for: three transfers in different states, an upload and a webhook."""
DATA: Final = "time,value\n0,1\n"
_DIGEST: Final = "sha-256=:fjGhAyYfEHWqk8+k2p2DR5ckyfqe0K/2ROJnlaUDiEE=:"
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_KEY: Final = {"Idempotency-Key": "run7-nightly-copy"}


@dataclass(frozen=True, slots=True)
class Example:
    """One request. ``path`` and ``query`` are parameters; a body of text is sent as it is."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


def _of(thing: str, **rest: Any) -> Example:
    return Example({"id": IDS[thing]}, **rest)


def _file(path: str, **rest: Any) -> Example:
    return Example({"storage": "lab", "path": path}, **rest)


_TRANSFER_BODY: Final = {
    "files": [{"source": "lab:/run7/", "destination": "archive:/run7/"}],
    "overwrite": "skip-same",
    "label": "run 7",
}
_MANIFEST: Final = {
    "destination": "archive:/run8/",
    "files": [{"path": "raw/a.dat", "size": 15}, {"path": "plots/a.png", "size": 20480}],
}
_LINES: Final = (
    '{"source":"lab:/run7/a.dat","destination":"archive:/run7/a.dat"}\n'
    '{"source":"lab:/run7/plots/b.png","destination":"archive:/run7/plots/"}\n'
)

EXAMPLES: Final[Mapping[tuple[str, str], Example]] = {
    ("GET", f"{V1}/storages"): Example(),
    ("GET", f"{V1}/storages/{{name}}"): Example({"name": "lab"}),
    ("GET", FILE): _file("run7/", query={"limit": "100"}),
    ("PUT", FILE): _file(
        "run7/sent.csv",
        query={"overwrite": "overwrite", "modified": "2026-05-01T10:00:00Z", "label": "result.csv"},
        headers={"Idempotency-Key": "result-1", "Repr-Digest": _DIGEST},
        body=DATA,
    ),
    ("DELETE", FILE): _file("run7/old.csv"),
    ("POST", FILE): _file("run8/"),
    ("POST", f"{V1}/moves"): Example(
        body={"source": "lab:/run7/draft.csv", "destination": "lab:/run7/final.csv", "overwrite": True}
    ),
    ("POST", f"{V1}/transfers"): Example(headers=_KEY, body=_TRANSFER_BODY),
    ("POST", f"{V1}/transfers/bulk"): Example(
        query={"overwrite": "skip-same", "label": "run 7"}, headers={"Idempotency-Key": "run7-all"}, body=_LINES
    ),
    ("GET", f"{V1}/transfers"): Example(query={"state": "DONE", "limit": "1"}),
    ("GET", TRANSFER): _of("done"),
    ("GET", f"{TRANSFER}/files"): _of("failed", query={"state": "FAILED"}),
    ("GET", f"{TRANSFER}/events"): _of("done", query={"after": "0", "limit": "2"}),
    ("GET", f"{TRANSFER}/rates"): _of("done"),
    ("POST", f"{TRANSFER}/pause"): _of("waiting"),
    ("POST", f"{TRANSFER}/resume"): _of("waiting"),
    ("POST", f"{TRANSFER}/cancel"): _of("waiting"),
    ("POST", f"{TRANSFER}/retry"): _of("failed"),
    ("GET", f"{V1}/events"): Example(query={"topics": f"transfer:{IDS['done']}", "after": "0"}),
    ("GET", f"{V1}/events/ws"): Example(headers={"Sec-WebSocket-Protocol": "scigate.v1"}),
    ("POST", f"{V1}/tickets"): Example(),
    ("POST", f"{V1}/tickets/page"): Example(),
    ("POST", f"{V1}/webhooks"): Example(
        body={"url": "https://example.org/scigate", "types": ["scigate.transfer.done", "scigate.transfer.failed"]}
    ),
    ("GET", f"{V1}/webhooks"): Example(),
    ("GET", WEBHOOK): _of("webhook"),
    ("DELETE", WEBHOOK): _of("webhook"),
    ("POST", f"{WEBHOOK}/replay"): _of("webhook", body={"after": "0"}),
    ("POST", f"{WEBHOOK}/enable"): _of("webhook"),
    ("POST", f"{WEBHOOK}/test"): _of("webhook"),
    ("POST", f"{V1}/uploads"): Example(
        query={"destination": "lab:/run7/sent.dat"}, headers={**_TUS, "Upload-Length": "15"}
    ),
    ("GET", f"{V1}/uploads"): Example(query={"limit": "1"}),
    ("OPTIONS", f"{V1}/uploads"): Example(),
    ("HEAD", UPLOAD): _of("upload", headers=_TUS),
    ("GET", UPLOAD): _of("upload"),
    ("PATCH", UPLOAD): _of(
        "upload",
        headers={**_TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        body=DATA,
    ),
    ("DELETE", UPLOAD): _of("upload", headers=_TUS),
    ("OPTIONS", UPLOAD): _of("upload"),
    ("POST", f"{V1}/manifests"): Example(headers={"Idempotency-Key": "run8"}, body=_MANIFEST),
    ("GET", f"{V1}/status"): Example(),
    ("GET", f"{V1}/openapi.json"): Example(),
    ("GET", "/docs"): Example(),
    ("GET", "/healthz"): Example(),
    ("GET", "/readyz"): Example(),
    ("GET", "/metrics"): Example(),
}


@cache
def answers() -> Mapping[str, Any]:
    """What was answered: ``METHOD path`` → the body; no entry where there is none, or none worth showing."""
    found: Mapping[str, Any] = json.loads(files(__package__).joinpath("examples.json").read_text("utf-8"))
    return found
