"""The same names at a storage that is a prefix of a bucket: no key outside the prefix is asked for, or changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from scigate.storage_backends.testing.servers import S3Server, ServerMissing, moto_s3

from tests.evidence import record

from .attacks import all_attacks, in_json, in_url
from .canary_tree import MARK
from .conftest import Starter
from .gateway import Evil
from .test_paths_in_bodies import settle
from .volley import Shot, fire

V1 = "/api/v1"
FILES = f"{V1}/files/bucket/"
INSIDE = "inside/"
OUTSIDE = ("canary.txt", "inside", "inside-outside/canary.txt", "etc/passwd", "file", "../canary.txt", "folder/file",
           "/canary.txt", "lab-outside/canary.txt")  # fmt: skip
_LINE = re.compile(rb'"(GET|PUT|POST|DELETE|HEAD) (\S+) HTTP')


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[tuple[S3Server, Path]]:
    """A server that keeps keys exactly as they are said, and writes down who asked for what."""
    folder = tmp_path_factory.mktemp("moto")
    starting = moto_s3(folder)
    try:
        made = starting.__enter__()
    except ServerMissing as error:
        missing(str(error))
    yield made, folder / "log"
    starting.__exit__(None, None, None)


@pytest.fixture(scope="module")
def evil(start_evil: Starter, server: tuple[S3Server, Path]) -> Iterator[Evil]:
    s3 = server[0]
    extra = f"""
[storages.bucket]
type = "s3"
endpoint = "{s3.endpoint}"
bucket = "{s3.bucket}"
prefix = "{INSIDE}"
access_key = "{s3.access_key}"
secret_key = {{ env = "CANARY_S3" }}
"""
    with start_evil(extra, {"CANARY_S3": s3.secret_key}) as made:
        yield made


def state(client: Any, bucket: str) -> dict[str, tuple[str, str]]:
    """What is outside the prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    objects = [one for page in pages for one in page.get("Contents", [])]
    return {one["Key"]: (one["ETag"], str(one["LastModified"])) for one in objects if not one["Key"].startswith(INSIDE)}


def shots_of(number: int, attack: str) -> list[Shot]:
    name = in_json(attack)[-1]
    pairs = [(f"bucket:/{name}", "mem:/in/"), ("lab:/file", f"bucket:/{name}")]
    every = [
        Shot("GET", FILES + in_url(attack)), Shot("PUT", FILES + in_url(attack) + "?overwrite=overwrite", b"inside"),
        Shot("DELETE", FILES + in_url(attack)), Shot("GET", FILES + in_url(attack) + "/"),
        Shot("GET", FILES + in_url(attack) + "/?archive=zip"), Shot("POST", FILES + in_url(attack) + "/"),
        Shot("POST", f"{V1}/moves", {"source": f"bucket:/{name}", "destination": "bucket:/moved"}),
        Shot("POST", f"{V1}/moves", {"source": "bucket:/file", "destination": f"bucket:/{name}"}),
        *(Shot("POST", f"{V1}/transfers", {"files": [{"source": a, "destination": b}], "overwrite": "overwrite"})
          for a, b in pairs),
    ]  # fmt: skip
    return [shot for turn, shot in enumerate(every) if (turn + number) % 5 == 0]


def test_no_name_leads_out_of_the_prefix(evil: Evil, server: tuple[S3Server, Path], evil_factor: int) -> None:
    begun, (s3, log) = time.monotonic(), server
    client = s3.client()
    for key in OUTSIDE:
        client.put_object(Bucket=s3.bucket, Key=key, Body=MARK.encode())
    for key in ("file", "folder/file"):
        client.put_object(Bucket=s3.bucket, Key=INSIDE + key, Body=b"inside")
    (evil.lab / "file").write_bytes(b"inside")
    before, said = state(client, s3.bucket), log.stat().st_size
    attacks = all_attacks() if evil_factor > 1 else all_attacks()[::4]
    shots = [shot for number, attack in enumerate(attacks) for shot in shots_of(number, attack)]
    bad = fire(evil, shots)
    settle(evil)
    asked = _LINE.findall(log.read_bytes()[said:])
    strayed = [f"{method.decode()} {target.decode()}" for method, target in asked if not is_inside(target, s3.bucket)]
    changed = [key for key, value in state(client, s3.bucket).items() if before.get(key) != value]
    gone = before.keys() - state(client, s3.bucket).keys()
    client.close()
    record("evil.paths", runs=len(shots), bad=len(bad) + len(strayed) + len(changed) + len(gone),
           seconds=time.monotonic() - begun, where="s3")  # fmt: skip
    assert len(asked) > 100
    assert bad == []
    assert (strayed, changed, sorted(gone)) == ([], [], [])


def is_inside(target: bytes, bucket: str) -> bool:
    """Whether a request of the gateway names a key, or lists, below the prefix."""
    parts = urlsplit(target.decode("latin-1"))
    key = unquote(parts.path, errors="surrogateescape").removeprefix(f"/{bucket}").removeprefix("/")
    if key:
        return key.startswith(INSIDE) and ".." not in key.split("/")
    query = parse_qs(parts.query, keep_blank_values=True, errors="surrogateescape")
    return query.get("prefix", [""])[0].startswith(INSIDE) or "delete" in query
