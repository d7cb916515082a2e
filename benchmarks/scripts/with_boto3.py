"""Copies one file, or all below a folder, with boto3's managed transfers: 16 files at once, each as it does by default.

Runs with the Python of the peers, outside SciGate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

THREADS = 16
TASK = json.loads(sys.argv[1])
CLIENT = boto3.client("s3", endpoint_url=TASK["endpoint"], config=Config(max_pool_connections=THREADS * 10))


def names(end: dict[str, str]) -> Iterator[str]:
    """What is below the source; the empty name is the source itself."""
    if not end["path"].endswith("/"):
        yield ""
    elif "bucket" in end:
        for page in CLIENT.get_paginator("list_objects_v2").paginate(Bucket=end["bucket"], Prefix=end["path"]):
            yield from (entry["Key"].removeprefix(end["path"]) for entry in page.get("Contents", []))
    else:
        for folder, _, files in os.walk(end["path"]):
            yield from (str(Path(folder, file).relative_to(end["path"])) for file in files)


def copy(name: str) -> None:
    """One file."""
    source, destination = TASK["source"], TASK["destination"]
    here, there = source["path"] + name, destination["path"] + name
    if "bucket" not in source:
        CLIENT.upload_file(here, destination["bucket"], there)
    elif "bucket" in destination:
        CLIENT.copy({"Bucket": source["bucket"], "Key": here}, destination["bucket"], there)
    else:
        os.makedirs(os.path.dirname(there), exist_ok=True)
        CLIENT.download_file(source["bucket"], here, there)


with ThreadPoolExecutor(THREADS) as pool:
    for _ in pool.map(copy, names(TASK["source"])):
        pass
