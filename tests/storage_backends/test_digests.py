"""Digests have the values of their standards, whatever the data come in, and are compared by name."""

from __future__ import annotations

import pytest
from scigate.storage_backends.digests import ALGORITHMS, digest, require_digests, start
from scigate.storage_backends.errors import DigestMismatch, Unsupported

CHECK = [b"1234", bytearray(b"567"), memoryview(b"89")]
KNOWN = {  # of "123456789", the string that CRCs are checked with
    "adler": "091e01de",
    "blake3": "b7d65b48420d1033cb2595293263b6f72eabee20d55e699d0df1973b3c9deed1",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha-256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "sha-512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
}


def test_values_are_those_of_the_standards() -> None:
    assert {name: digest(name, CHECK) for name in ALGORITHMS} == KNOWN
    running = start(["md5", "adler"])
    for one in running.values():
        one.update(b"123456789")
    assert {name: one.hexdigest() for name, one in running.items()} == {name: KNOWN[name] for name in running}


def test_leading_zeros_are_kept() -> None:
    assert digest("crc64nvme", []) == "0" * 16
    assert digest("crc32c", []) == "0" * 8
    assert digest("adler", []) == "00000001"


def test_an_unknown_algorithm_is_named() -> None:
    with pytest.raises(Unsupported, match="sha-256, sha-512, not 'sha-3'"):
        digest("sha-3", CHECK)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_broken_promise_is_refused(name: str) -> None:
    require_digests(CHECK, KNOWN | {"sha-3": "00"}, "file")
    with pytest.raises(DigestMismatch, match=f"'file' have another {name} than was promised"):
        require_digests(CHECK, {**KNOWN, name: "0" + KNOWN[name][:-1]}, "file")
