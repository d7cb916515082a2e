"""Sequences: what one answer names is asked for next, in orders that nobody meant. Nothing breaks, and no answer
differs from the description of the API."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.stateful.dependencies import inject_links
from scigate.gateway_api.http.openapi import document
from scigate.gateway_api.http.routes import ROUTES

from tests.evidence import record

from .gateway import TOKENS, Evil

ENDLESS = ("/api/v1/events", "/api/v1/events/ws")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
schemathesis.serializer.alias(
    ["application/offset+octet-stream", "application/partial-upload", "application/x-ndjson"], "text/plain"
)


@pytest.fixture(scope="module")
def described(evil: Evil) -> Any:
    """The description, with links between operations made from the names in it, and storages that are there."""
    (evil.lab / "file").write_bytes(b"data")
    text = json.dumps(document(ROUTES)).replace("https://example.org", "http://127.0.0.1:9")
    found: dict[str, Any] = json.loads(text)
    for path in ENDLESS:
        del found["paths"][path]
    for methods in found["paths"].values():
        for parameter in [one for operation in methods.values() for one in operation["parameters"]]:
            if parameter["in"] == "path" and parameter["name"] in ("storage", "name"):
                parameter["schema"] = {"enum": ["lab", "mem", "peer"]}
    schema = schemathesis.openapi.from_dict(found)
    assert inject_links(schema) >= 50
    return schema


@pytest.mark.parametrize("user", ["root", "bo"])
def test_no_sequence_breaks_it(evil: Evil, described: Any, user: str, evil_factor: int) -> None:
    begun, seen = time.monotonic(), Counter[int]()

    class Workflow(described.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {TOKENS[user]}"}
            return {"base_url": f"http://127.0.0.1:{evil.port}", "headers": headers, "timeout": 60}

        def validate_response(self, response: Any, case: Any, *args: Any, **kwargs: Any) -> None:
            seen[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    options = settings(
        max_examples=12 * evil_factor, stateful_step_count=12, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    bad = 1
    try:
        run_state_machine_as_test(Workflow, settings=options)
        bad = 0
    except Unsatisfiable:
        bad = 0
    finally:
        record("evil.fuzz", runs=seen.total(), bad=bad, seconds=time.monotonic() - begun, kind="sequences",
               good=sum(count for status, count in seen.items() if status < 300))  # fmt: skip
    assert seen.total() >= 50
    assert sum(count for status, count in seen.items() if status < 300) >= 10
