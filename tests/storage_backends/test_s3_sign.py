"""The signer gives what botocore's gives, for every key that can be thought of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from scigate.storage_backends.credential import AccessKey, Secret
from scigate.storage_backends.s3_clock import ServerClock
from scigate.storage_backends.s3_sign import Signer, encode_path, encode_query

ID, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token/with+signs="

KEYS = [
    "a",
    "a//b",
    "./x",
    "a/./b",
    "dir/",
    "sp ace",
    "100%",
    "%41",
    "a+b",
    "a&b=c?d#e",
    "new\nline",
    "tab\t",
    "ü/Größe",
    "e\u0301",
    "~tilde-_.",
    "!*'()",
    ":@$,;",
    '[{|}]^`\\"<>',
    "\U0001f9ec",
    "\x01\x7f",
]


class Unsigned(S3SigV4Auth):
    """botocore's signer, told that the body is not signed."""

    def payload(self, request: Any) -> str:
        return "UNSIGNED-PAYLOAD"


def by_botocore(method: str, path: str, query: str, headers: dict[str, str], region: str, token: str | None) -> str:
    url = f"http://{headers['host']}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=headers)
    Unsigned(Credentials(ID, SECRET, token), "s3", region).add_auth(request)
    return f"{request.headers['X-Amz-Date']} {request.headers['Authorization']}"


def by_us(method: str, path: str, query: str, headers: dict[str, str], region: str, token: str | None) -> str:
    key = AccessKey(ID, Secret(SECRET), Secret(token) if token else None)
    signed = Signer(key, region).sign(method, path, query, headers)
    return f"{signed['x-amz-date']} {signed['authorization']}"


def compare(method: str, key: str, query: dict[str, str], headers: dict[str, str], token: str | None = None) -> None:
    arguments = (method, f"/bucket/{encode_path(key)}", encode_query(query), headers, "eu-central-1", token)
    for _ in range(100):  # the second may change between the two
        ours, theirs = by_us(*arguments), by_botocore(*arguments)
        if ours[:16] == theirs[:16]:
            break
    assert ours == theirs


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_signed_as_botocore_signs_it(key: str) -> None:
    compare("GET", key, {}, {"host": "127.0.0.1:9000"})
    compare("PUT", key, {"uploadId": key, "partNumber": "7"}, {"host": "h", "x-amz-meta-scigate-id": "k"}, TOKEN)


@pytest.mark.parametrize("key", KEYS)
def test_a_query_is_signed_as_botocore_signs_it(key: str) -> None:
    query = {"list-type": "2", "prefix": key, "start-after": f"{key}z", "encoding-type": "url", "delimiter": "/"}
    compare("GET", "", query, {"host": "h:1", "if-match": '"abc"', "range": "bytes=0-1"})


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), value=st.text("aB -_\t", max_size=9)
)
@settings(max_examples=200, deadline=None)
def test_any_key_is_signed_as_botocore_signs_it(key: str, value: str) -> None:
    compare("PUT", key, {"prefix": key}, {"host": "h", "x-amz-meta-x": value})


def test_the_signing_key_changes_with_the_day() -> None:
    signer = Signer(AccessKey(ID, Secret(SECRET)), "us-east-1", ServerClock(lambda: 1_800_000_000.0))
    first = signer.sign("GET", "/", "", {"host": "h"})["authorization"]
    signer.clock.skew = 86_400.0
    second = signer.sign("GET", "/", "", {"host": "h"})["authorization"]
    signer.clock.skew = 0.0
    third = signer.sign("GET", "/", "", {"host": "h"})["authorization"]
    days = [re.findall(r"/(\d{8})/us-east-1", text)[0] for text in (first, second, third)]
    assert days[0] == days[2] < days[1]


def test_nothing_signed_shows_the_secret() -> None:
    signed = Signer(AccessKey(ID, Secret(SECRET)), "us-east-1").sign("GET", "/", "", {"host": "h"})
    assert SECRET not in str(signed)
