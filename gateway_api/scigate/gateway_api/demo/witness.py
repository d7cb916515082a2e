"""Reads what arrived without any code of SciGate: boto3, plain files and hashlib.

The demo believes nothing that the gateway says about itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.backend import MiB

READ: Final = 4 * MiB


@dataclass(frozen=True, slots=True)
class Finding:
    """What the independent check saw: how many files are equal, and in words what is not."""

    equal: int
    wrong: tuple[str, ...]


def compare(expected: dict[str, str], found: dict[str, str]) -> Finding:
    """Names and SHA-256 as they must be, against those that are there."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    surplus = [f"{name} should not be there" for name in found.keys() - expected.keys()]
    both = expected.keys() & found.keys()
    differ = [f"{name} has other bytes" for name in both if expected[name] != found[name]]
    return Finding(len(both) - len(differ), tuple(sorted(missing + surplus + differ)))


def in_bucket(client: Any, bucket: str, prefix: str) -> dict[str, str]:
    """SHA-256 of every object below ``prefix``, read from the S3 server itself."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key.removeprefix(prefix): _object(client, bucket, key) for key in keys}


def in_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``, read from the disk."""
    return {str(path.relative_to(folder)): of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def of_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return _sha256(iter(lambda: file.read(READ), b""))


def _object(client: Any, bucket: str, key: str) -> str:
    return _sha256(client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(READ))


def _sha256(buffers: Iterable[bytes]) -> str:
    hasher = hashlib.sha256()
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.hexdigest()
