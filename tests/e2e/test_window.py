"""An upload that is larger than all the room for uploads: what has reached its storage makes way for what comes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from awscrt import checksums
from scigate.gateway_api.actor import Actor
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.uploads.model import Append, NewUpload
from scigate.gateway_api.uploads.sessions import Uploads
from scigate.gateway_api.uploads.staging import allocated
from scigate.gateway_api.wiring import Service, build
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import S3Server

ADA = Actor("ada", "Ada")
QUOTA = 96 * MiB
SIZE = 256 * MiB
PIECE = 8 * MiB
EXTENTS = 64 * 1024  # what a file system may keep about a file that has holes; ext4 counts it as the file's own


def service(folder: Path, server: S3Server) -> Service:
    (folder / "lab").mkdir()
    (folder / "key").write_text(server.secret_key)
    s3 = {"type": "s3", "endpoint": server.endpoint, "bucket": server.bucket, "access_key": server.access_key,
          "region": server.region, "prefix": f"{folder.name}/"}  # fmt: skip
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in s3.items())
    return build(
        Settings.parse(f"""
[gateway]
port = 0
state_dir = "{folder}/state"
[limits]
staging_quota = "96 MiB"
[storages.s3]
{lines}
secret_key = {{ file = "{folder}/key" }}
[storages.lab]
type = "posix"
root = "{folder}/lab"
[users.ada]
token_hash = "sha256:{"0" * 64}"
""")
    )


def send(uploads: Uploads, id: str, data: Path) -> int:
    """In pieces, each a request of its own; waits where there is no room. Returns the most that was on our disk."""
    most, crc, end = 0, 0, time.monotonic() + 150
    staged = next(path for path in data.parent.glob("state/staging"))
    with data.open("rb") as source:
        while piece := source.read(PIECE):
            crc = checksums.crc64nvme(piece, crc)
            whole = {"crc64nvme": f"{crc:016x}"} if source.tell() == SIZE else {}
            writer = uploads.open(ADA, id, Append(source.tell() - len(piece), len(piece), whole=whole))
            while not writer.has_room(len(piece)):
                assert time.monotonic() < end, "no room comes free"
                time.sleep(0.05)
            writer.write([piece])
            writer.finish()
            most = max(most, sum(map(room, staged.iterdir())))
    return most


def room(path: Path) -> int:
    """What it takes of the disk; nothing if it is gone: all that it held is at its storage."""
    try:
        return allocated(path.stat())
    except FileNotFoundError:
        return 0


def test_an_upload_may_be_larger_than_the_room_for_uploads(tmp_path: Path, seaweedfs: S3Server) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(MiB) * (SIZE // MiB))
    running = service(tmp_path, seaweedfs)
    running.start()
    try:
        gateway = running.gateway
        status = gateway.uploads.create(ADA, NewUpload(length=SIZE, destination="s3:/large", name="data"))
        with pytest.raises(Problem, match="move on to their storage"):
            gateway.uploads.open(ADA, status.id, Append(0, 1, whole={"sha-256": "0" * 64}))
        most = send(gateway.uploads, status.id, data)
        assert most <= QUOTA + EXTENTS
        transfer = gateway.uploads.show(ADA, status.id).transfer
        assert transfer is not None
        end = time.monotonic() + 120
        while not (found := gateway.show_transfer(ADA, transfer)).state.is_final:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        assert found.state is TransferState.DONE, found
    finally:
        running.stop()
    body = seaweedfs.client().get_object(Bucket=seaweedfs.bucket, Key=f"{tmp_path.name}/large")["Body"]
    assert hashlib.sha256(body.read()).digest() == hashlib.sha256(data.read_bytes()).digest()


@pytest.mark.parametrize(
    "new",
    [
        NewUpload(length=SIZE, destination="lab:/large"),  # a folder that has no bytes safe before all are there
        NewUpload(length=SIZE, destination="s3:/large", digests={"sha-256": "0" * 64}),
        NewUpload(length=1 << 62, destination="s3:/large"),  # more than S3 takes
    ],
)
def test_what_cannot_flow_on_must_fit(tmp_path: Path, seaweedfs: S3Server, new: NewUpload) -> None:
    running = service(tmp_path, seaweedfs)
    running.start()
    try:
        with pytest.raises(Problem) as refused:
            running.gateway.uploads.create(ADA, new)
    finally:
        running.stop()
    assert (refused.value.status, refused.value.code) == (413, "too-large")
