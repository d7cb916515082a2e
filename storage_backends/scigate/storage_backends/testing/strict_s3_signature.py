"""Signature Version 4, as a server checks it: headers, links, and signed chunks. It knows nothing of our signer.

Source: "Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4)", with its parts about query
parameters, chunked uploads and trailing headers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from .strict_s3_request import Asked, Refused

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SKEW_MAX: Final = timedelta(minutes=15)
LINK_MAX: Final = 604_800  # seconds
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMED: Final = frozenset(
    {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    }
)
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential=([^/,\s]+)/(\d{{8}})/([^/,\s]+)/s3/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_CREDENTIAL: Final = re.compile(r"([^/\s]+)/(\d{8})/([^/\s]+)/s3/aws4_request")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_EMPTY: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself, before it is checked."""

    key_id: str
    day: str
    region: str
    names: tuple[str, ...]
    signature: str
    date: str
    payload: str
    link: bool = False

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/s3/aws4_request"


@dataclass(frozen=True, slots=True)
class Proof:
    """A signature that has been checked: what signed chunks go on from."""

    key: bytes
    date: str
    scope: str
    signature: str
    payload: str

    def of_chunk(self, before: str, data: bytes) -> str:
        kind = f"{ALGORITHM}-PAYLOAD\n{self.date}\n{self.scope}\n{before}\n{_EMPTY}\n"
        return _mac(self.key, kind + hashlib.sha256(data).hexdigest()).hex()

    def of_trailer(self, before: str, trailers: Mapping[str, str]) -> str:
        lines = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        kind = f"{ALGORITHM}-TRAILER\n{self.date}\n{self.scope}\n{before}\n"
        return _mac(self.key, kind + hashlib.sha256(lines.encode()).hexdigest()).hex()


def check_signature(asked: Asked, keys: Mapping[str, str], region: str, now: datetime) -> Proof:
    """``Refused`` unless one of ``keys`` (id → secret) signed this request, for this region, within 15 minutes."""
    claim = _claimed(asked)
    if claim.key_id not in keys:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if claim.region != region:
        text = f"The authorization header is malformed; the region '{claim.region}' is wrong; expecting '{region}'"
        raise Refused("AuthorizationHeaderMalformed", text, Region=region)
    _check_time(claim, asked, now)
    _check_names(claim, asked)
    canonical = _canonical(asked, claim)
    to_sign = "\n".join([ALGORITHM, claim.date, claim.scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
    key = signing_key(keys[claim.key_id], claim.day, claim.region)
    if not hmac.compare_digest(_mac(key, to_sign).hex(), claim.signature):
        text = "The request signature we calculated does not match the signature you provided."
        raise Refused("SignatureDoesNotMatch", text, StringToSign=to_sign, CanonicalRequest=canonical)
    return Proof(key, claim.date, claim.scope, claim.signature, claim.payload)


def signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _mac(key, part)
    return key


def _claimed(asked: Asked) -> Claim:
    if "X-Amz-Algorithm" in asked.query:
        return _claimed_by_link(asked)
    given = asked.headers.get("authorization")
    if given is None:
        raise Refused("AccessDenied", "Access Denied")
    if not given.startswith(ALGORITHM):
        text = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
        raise Refused("InvalidRequest", text)
    found = _AUTHORIZATION.fullmatch(given)
    if found is None:
        raise Refused("AuthorizationHeaderMalformed", "The authorization header is malformed.")
    if "x-amz-content-sha256" not in asked.headers:
        raise Refused("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    payload = asked.headers["x-amz-content-sha256"]
    if payload != UNSIGNED and payload not in STREAMED and not _SHA256.fullmatch(payload):
        raise Refused("InvalidArgument", "x-amz-content-sha256 must be a known word or a valid sha256 value.")
    key_id, day, region, names, signature = found.groups()
    date = asked.headers.get("x-amz-date", "")
    return Claim(key_id, day, region, tuple(names.split(";")), signature, date, payload)


def _claimed_by_link(asked: Asked) -> Claim:
    query = asked.query
    found = _CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
    expires = query.get("X-Amz-Expires", "")
    signature = query.get("X-Amz-Signature", "")
    if found is None or query["X-Amz-Algorithm"] != ALGORITHM or not _SHA256.fullmatch(signature):
        raise Refused("AuthorizationQueryParametersError", "The query parameters of the signature are not whole.")
    if not (expires.isascii() and expires.isdigit() and 0 < int(expires) <= LINK_MAX):
        raise Refused("AuthorizationQueryParametersError", f"X-Amz-Expires must be less than {LINK_MAX + 1} seconds")
    names = tuple(query.get("X-Amz-SignedHeaders", "").split(";"))
    payload = asked.headers.get("x-amz-content-sha256", UNSIGNED)
    return Claim(found[1], found[2], found[3], names, signature, query.get("X-Amz-Date", ""), payload, link=True)


def _check_time(claim: Claim, asked: Asked, now: datetime) -> None:
    try:
        date = datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        text = "AWS authentication requires a valid Date or x-amz-date header"
        raise Refused("AccessDenied", text) from None
    if not claim.date.startswith(claim.day):
        raise Refused("AuthorizationHeaderMalformed", "The credential has another day than the date.")
    if claim.link:
        if now > date + timedelta(seconds=int(asked.query["X-Amz-Expires"])):
            raise Refused("AccessDenied", "Request has expired")
        if now < date - SKEW_MAX:
            raise Refused("AccessDenied", "Request is not valid yet")
    elif abs(now - date) > SKEW_MAX:
        text = "The difference between the request time and the current time is too large."
        seen = {"RequestTime": claim.date, "ServerTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        raise Refused("RequestTimeTooSkewed", text, **seen, MaxAllowedSkewMilliseconds=900_000)


def _check_names(claim: Claim, asked: Asked) -> None:
    must = {"host"} | {name for name in asked.headers if name.startswith("x-amz-")}
    if claim.link:
        must.discard("x-amz-content-sha256")
    if missing := must - set(claim.names):
        text = "There were headers present in the request which were not signed"
        raise Refused("AccessDenied", text, HeadersNotSigned=", ".join(sorted(missing)))


def _canonical(asked: Asked, claim: Claim) -> str:
    headers = (f"{name}:{' '.join(asked.headers.get(name, '').split())}" for name in claim.names)
    path = canonical_path(asked.raw_path)
    return "\n".join(
        [asked.method, path, canonical_query(asked.raw_query), *headers, "", ";".join(claim.names), claim.payload]
    )


def canonical_path(raw: str) -> str:
    return quote(unquote_to_bytes(raw), safe="/~")


def canonical_query(raw: str) -> str:
    pairs = (pair.partition("=") for pair in raw.split("&") if pair)
    encoded = ((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in sorted(encoded) if name != "X-Amz-Signature")


def _encoded(raw: str) -> str:
    return quote(unquote_to_bytes(raw), safe="~")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
