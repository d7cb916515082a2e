"""What a strict S3 server makes of a body: chunks, hashes and checksums. Nothing here does I/O.

Source: "Amazon S3 API Reference", chunked uploads and trailing headers; "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from awscrt import checksums

from .strict_s3_request import Asked, Refused
from .strict_s3_signature import STREAMED, UNSIGNED, Proof

CHUNK_MIN: Final = 8192
CHECKSUM: Final = "x-amz-checksum-"
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
_NOT_VALUES: Final = frozenset({"algorithm", "type", "mode"})


def _crc(step: Callable[[bytes], int], size: int) -> Callable[[bytes], bytes]:
    return lambda data: step(data).to_bytes(size)


SUMS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "crc32": _crc(zlib.crc32, 4),
    "crc32c": _crc(checksums.crc32c, 4),
    "crc64nvme": _crc(checksums.crc64nvme, 8),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
_COMBINE: Final[Mapping[str, tuple[Callable[[int, int, int], int], int]]] = {
    "crc32": (checksums.combine_crc32, 4),
    "crc32c": (checksums.combine_crc32c, 4),
    "crc64nvme": (checksums.combine_crc64nvme, 8),
}


def sum_of(algorithm: str, data: bytes) -> str:
    """A checksum as S3 writes it."""
    return base64.b64encode(SUMS[algorithm](data)).decode()


def whole_of(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """The checksum over a whole object from those of its parts, each with its length: type FULL_OBJECT."""
    combine, size = _COMBINE[algorithm]
    found = 0
    for value, length in parts:
        found = combine(found, int.from_bytes(base64.b64decode(value)), length)
    return base64.b64encode(found.to_bytes(size)).decode()


def composite_of(algorithm: str, parts: Iterable[str]) -> str:
    """The checksum over the checksums of the parts: type COMPOSITE."""
    values = [base64.b64decode(value) for value in parts]
    return f"{sum_of(algorithm, b''.join(values))}-{len(values)}"


def opened(asked: Asked, proof: Proof, raw: bytes) -> tuple[bytes, dict[str, str]]:
    """What was sent, out of its chunks, and the trailing headers. ``Refused`` if anything about it is not as signed."""
    if proof.payload in STREAMED:
        return _unchunked(asked, proof, raw)
    if proof.payload != UNSIGNED and hashlib.sha256(raw).hexdigest() != proof.payload:
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Refused("XAmzContentSHA256Mismatch", text)
    return raw, {}


def _unchunked(asked: Asked, proof: Proof, raw: bytes) -> tuple[bytes, dict[str, str]]:
    signed, pieces, at, before = "AWS4" in proof.payload, [], 0, proof.signature
    while True:
        found = _CHUNK.match(raw, at)
        if found is None:
            raise Refused("IncompleteBody", "The request body terminated unexpectedly")
        data = raw[found.end() : found.end() + int(found[1], 16)]
        before = _checked_chunk(proof, before, data, found[2]) if signed else before
        at = found.end() + len(data)
        if not data:
            break
        if raw[at : at + 2] != b"\r\n":
            raise Refused("IncompleteBody", "The request body terminated unexpectedly")
        at += 2
        pieces.append(data)
    if any(len(piece) < CHUNK_MIN for piece in pieces[:-1]):
        raise Refused("InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes")
    trailers = _trailers(asked, proof, raw[at:], before) if proof.payload.endswith("-TRAILER") else {}
    whole = b"".join(pieces)
    if str(len(whole)) != asked.headers["x-amz-decoded-content-length"]:
        raise Refused("IncompleteBody", "You did not provide the number of bytes specified by the header")
    return whole, trailers


def _checked_chunk(proof: Proof, before: str, data: bytes, given: bytes | None) -> str:
    expected = proof.of_chunk(before, data)
    if given is None or given.decode() != expected:
        raise Refused("SignatureDoesNotMatch", "The chunk signature we calculated does not match yours.")
    return expected


def _trailers(asked: Asked, proof: Proof, raw: bytes, before: str) -> dict[str, str]:
    lines = [line.strip() for line in raw.decode("latin-1").split("\r\n") if line.strip()]
    found = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    given = found.pop("x-amz-trailer-signature", "")
    if "AWS4" in proof.payload and given != proof.of_trailer(before, found):
        raise Refused("SignatureDoesNotMatch", "The trailer signature we calculated does not match yours.")
    promised = {name.strip().lower() for name in asked.headers.get("x-amz-trailer", "").split(",")}
    if promised != set(found):
        raise Refused("MalformedTrailerError", "The request contained trailing data that was not well-formed.")
    return found


def check_md5(asked: Asked, data: bytes) -> None:
    """RFC 1864; ``InvalidDigest`` for what cannot be one, ``BadDigest`` for a wrong one."""
    given = asked.headers.get("content-md5")
    if given is None:
        return
    if len(_decoded(given)) != 16:
        raise Refused("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if _decoded(given) != hashlib.md5(data, usedforsecurity=False).digest():
        raise Refused("BadDigest", "The Content-MD5 you specified did not match what we received.")


def promised_sums(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums that headers name: algorithm → base64."""
    named = {name.removeprefix(CHECKSUM): value for name, value in headers.items() if name.startswith(CHECKSUM)}
    return {name: value for name, value in named.items() if name not in _NOT_VALUES}


def check_sums(asked: Asked, data: bytes, trailers: Mapping[str, str]) -> None:
    """At most one checksum, well-formed, of the algorithm that was announced, and right."""
    given = promised_sums({**asked.headers, **trailers})
    if len(given) > 1:
        text = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise Refused("InvalidRequest", text)
    announced = asked.headers.get("x-amz-sdk-checksum-algorithm", "").lower()
    if announced and not given:
        text = "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or trailer was found."
        raise Refused("InvalidRequest", text)
    for algorithm, value in given.items():
        if announced not in {"", algorithm}:
            raise Refused("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
        check_form(algorithm, value)
        if value != sum_of(algorithm, data):
            raise Refused("BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum.")


def check_form(algorithm: str, value: str) -> None:
    """``InvalidRequest`` for an unknown algorithm, or a value that is not one of it."""
    if algorithm not in SUMS or len(_decoded(value.partition("-")[0])) != len(SUMS[algorithm](b"")):
        raise Refused("InvalidRequest", f"Value for {CHECKSUM}{algorithm} header is invalid.")


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""
