"""No secret passes through the log."""

from __future__ import annotations

import json
import logging

import pytest
from scigate.gateway_api.logs import JsonLines, redact

CANARY = "c4n4ry-S3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"'authorization': 'Basic {CANARY}'",
        f"GET https://x/y?X-Amz-Signature={CANARY}&b=1",
        f"GET https://x/y?X-Amz-Security-Token={CANARY}",
        f"https://user:{CANARY}@host/path",
        f"postgresql+psycopg://scigate:{CANARY}@db/scigate",
        f'{{"token": "{CANARY}"}}',
        f"{{'secret_key': '{CANARY}'}}",
        f"password={CANARY}",
        f"access_token={CANARY};x",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert CANARY not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    ["GET /api/v1/transfers 200 3.1 ms", "3 tokens in use", "https://example.org/a@b", "lab:/a.bam: 10 bytes"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_record_is_one_line_of_json() -> None:
    try:
        raise RuntimeError(f"token={CANARY}")
    except RuntimeError as error:
        raised = (type(error), error, error.__traceback__)
    made = logging.LogRecord("n", logging.ERROR, "f", 1, "a\nb %s", (f"Bearer {CANARY}",), raised)
    made.user, made.remote = "ada", f"password={CANARY}"
    line = JsonLines().format(made)
    fields = json.loads(line)
    assert "\n" not in line
    assert CANARY not in line
    assert (fields["level"], fields["message"], fields["user"]) == ("error", "a\nb Bearer ***", "ada")
    assert "RuntimeError" in fields["traceback"]
