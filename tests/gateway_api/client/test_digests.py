"""Digests that a gateway promises, and how they are checked."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from scigate.gateway_api.client import DataDamaged
from scigate.gateway_api.client.digests import Check, read_repr_digest


def field(**digests: bytes) -> str:
    return ", ".join(
        f"{name.replace('_', '-')}=:{base64.b64encode(value).decode()}:" for name, value in digests.items()
    )


def test_the_strongest_known_digest_is_checked() -> None:
    promised = read_repr_digest(field(unknown=b"x", md5=hashlib.md5(b"data").digest(), sha_256=b"y" * 32))
    assert Check(promised).algorithm == "sha-256"


@pytest.mark.parametrize(
    "promised",
    [
        field(sha_256=hashlib.sha256(b"data").digest()),
        field(sha_512=hashlib.sha512(b"data").digest()),
        field(adler=zlib.adler32(b"data").to_bytes(4, "big")),
        field(md5=hashlib.md5(b"data").digest()) + ";q=1",
    ],
)
def test_right_bytes_pass_and_wrong_ones_do_not(promised: str) -> None:
    check = Check(read_repr_digest(promised))
    check.update(b"da")
    check.update(b"ta")
    check.finish("it")
    with pytest.raises(DataDamaged, match=check.algorithm):
        check.update(b"!") or check.finish("it")


def test_crc64nvme_of_s3_is_checked() -> None:
    """The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms."""
    check = Check({"crc64nvme": "ae8b14860a799888"})
    check.update(b"123456789")
    check.finish("it")
    assert check.algorithm == "crc64nvme"


@pytest.mark.parametrize("text", ["", "nonsense", "sha-256=:***:", "sha-256=notbytes"])
def test_what_cannot_be_read_promises_nothing(text: str) -> None:
    check = Check(read_repr_digest(text))
    check.update(b"anything")
    check.finish("it")
    assert check.algorithm is None
