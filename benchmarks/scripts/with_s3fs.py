"""Copies one file, or all below a folder, with s3fs as it comes. Runs with the Python of the peers, outside SciGate."""

from __future__ import annotations

import json
import os
import sys

import s3fs  # type: ignore[import-not-found]

TASK = json.loads(sys.argv[1])
FILES = s3fs.S3FileSystem(endpoint_url=TASK["endpoint"])


def at(end: dict[str, str]) -> str:
    """The path of an end as s3fs wants it."""
    return "/".join(filter(None, (end.get("bucket"), end["path"])))


SOURCE, DESTINATION = TASK["source"], TASK["destination"]
RECURSIVE = SOURCE["path"].endswith("/")
if "bucket" not in SOURCE:
    FILES.put(at(SOURCE), at(DESTINATION), recursive=RECURSIVE)
elif "bucket" in DESTINATION:
    FILES.copy(at(SOURCE), at(DESTINATION), recursive=RECURSIVE)
else:
    os.makedirs(os.path.dirname(DESTINATION["path"]), exist_ok=True)
    FILES.get(at(SOURCE), at(DESTINATION), recursive=RECURSIVE)
