"""Whatever the description of the API allows, and what it does not, is sent to a running gateway: nothing breaks it,
and no answer differs from the description."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from scigate.gateway_api.http.openapi import document
from scigate.gateway_api.http.routes import ROUTES

from tests.evidence import record

from .conftest import TOKENS, Running, finished

EXAMPLES = 25  # of each operation, besides those of the coverage of each parameter
ENDLESS = ("/api/v1/events", "/api/v1/events/ws")
"""Their good answers do not end; their bad ones are tested with them."""
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]

RAW = ["application/offset+octet-stream", "application/partial-upload", "application/x-ndjson"]
schemathesis.serializer.alias(RAW, "text/plain")


@pytest.fixture(scope="module")
def described(gateway: Running) -> Any:
    """The description, in which things that are there are told as values, so that they are found among all others."""
    client = gateway.client("ada")
    (gateway.folder / "lab" / "folder").mkdir()
    (gateway.folder / "lab" / "folder" / "file").write_bytes(b"data")
    (gateway.folder / "lab" / "file").write_bytes(b"data")
    body = {"files": [{"source": "lab:/file", "destination": "mem:/copy"}]}
    transfer = finished(client, client.post("/api/v1/transfers", json=body).headers["Location"])["id"]
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "4"}
    upload = client.post("/api/v1/uploads", params={"destination": "lab:/up"}, headers=tus).headers["Location"]
    webhook = client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["webhook"]["id"]
    values = {
        "id": [transfer, upload.rpartition("/")[2], webhook, "0" * 32],
        "name": ["lab", "frozen", "mem"],
        "storage": ["lab", "frozen", "mem"],
        "path": ["", "file", "folder/", "new", "new/"],
    }
    nowhere = json.dumps(document(ROUTES)).replace("https://example.org", "http://127.0.0.1:9")
    found: dict[str, Any] = json.loads(nowhere)
    for path in ENDLESS:
        del found["paths"][path]
    for methods in found["paths"].values():
        for parameter in [one for operation in methods.values() for one in operation["parameters"]]:
            if parameter["in"] == "path":
                parameter["schema"] = {"anyOf": [{"enum": values[parameter["name"]]}, {"type": "string"}]}
    return schemathesis.openapi.from_dict(found)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    ("method", "path"), [(route.method, route.path) for route in ROUTES if route.path not in ENDLESS]
)
def test_no_request_breaks_it(described: Any, gateway: Running, method: str, path: str, mode: GenerationMode) -> None:
    operation = described[path][method]
    headers = {"Authorization": f"Bearer {TOKENS['root']}"}

    sent = 0

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(base_url=gateway.service.url, headers=headers, checks=CHECKS, timeout=120)

    begun, bad = time.monotonic(), 1
    try:
        send()
        bad = 0
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "there is a good request of each kind"
        bad = 0
    finally:
        record("evil.fuzz", runs=sent, bad=bad, seconds=time.monotonic() - begun, kind=mode.value)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_methods_that_are_not_described_answer_405(gateway: Running, path: str) -> None:
    """Also with parameters that another method has."""
    target = path.format(id="0" * 32, name="lab", storage="lab", path="file")
    client = gateway.client("root")
    allowed = {route.method for route in ROUTES if route.path == path}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - allowed:
        answer = client.request(method, target, params={"after": "0", "limit": "1"})
        assert answer.status_code == 405, (method, answer.text)
        assert set(answer.headers["Allow"].split(", ")) == allowed
