"""Sources that somebody changes while they are copied: never a mixture that is DONE."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.storage_backends.testing.servers import S3Server

from .gates import gate
from .mounts import Mounts
from .stand import Stand, until

MiB = 1 << 20
SMALL, LARGE = 3 * MiB, 33 * MiB  # one buffer after the other of a batch; two blocks
SIZES = pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.long)], ids=["small", "large"])
Make = Callable[..., Stand]


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(os.urandom(1000))


def replaced(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(os.urandom(path.stat().st_size))
    new.replace(path)


def rewritten(path: Path) -> None:
    """In its place, with the same size, and with its old times."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(os.urandom(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touched(path: Path) -> None:
    """Its contents stay: a second look, no harm."""
    path.chmod(0o600)


def deleted(path: Path) -> None:
    path.unlink()


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def made_a_link(path: Path) -> None:
    outside = path.parents[1] / "outside"
    outside.write_bytes(os.urandom(path.stat().st_size))
    path.unlink()
    path.symlink_to(outside)


def copied_meanwhile(made: Stand, source: str, size: int, change: Callable[[], None]) -> str:
    """The path of a transfer whose source ``change`` changes once, when half of it is read."""
    storage = source.partition(":")[0]
    half = gate(made, storage, size // 2)
    transfer = made.submit((source, "out:/f"))
    assert half.reached.wait(150)
    change()
    half.opened.set()
    return transfer


@SIZES
@pytest.mark.parametrize("change", [truncated, grown, replaced, rewritten, touched])
def test_a_file_that_changes_once_is_copied_anew(stand: Make, size: int, change: Callable[[Path], None]) -> None:
    began = time.monotonic()
    made = stand(limits={"streams": 1}).start()
    source = made.root("lab") / "f"
    source.write_bytes(os.urandom(size))
    transfer = copied_meanwhile(made, "lab:/f", size, lambda: change(source))
    assert made.wait(transfer)["state"] == "DONE", made.tell(transfer)
    assert (made.root("out") / "f").read_bytes() == source.read_bytes()
    made.settle("faults.disk", began, fault=f"source {change.__name__}")


@SIZES
@pytest.mark.parametrize(
    ("change", "code"), [(deleted, "not-found"), (made_a_folder, "not-regular"), (made_a_link, "not-regular")]
)
def test_a_file_that_is_no_file_any_more_fails_and_leaves_nothing(
    stand: Make, size: int, change: Callable[[Path], None], code: str
) -> None:
    began = time.monotonic()
    made = stand(limits={"streams": 1}).start()
    source = made.root("lab") / "f"
    source.write_bytes(os.urandom(size))
    transfer = copied_meanwhile(made, "lab:/f", size, lambda: change(source))
    until(lambda: made.get(transfer)["finished"] is not None)
    file = made.file(transfer)
    if size == SMALL:  # it is open: what was read is the whole of the version that was asked for, unless that changed
        assert file["state"] in ("DONE", "FAILED")
    else:
        assert file["state"] == "FAILED", made.tell(transfer)
        assert file["cause"]["code"] == code
        until(lambda: os.listdir(made.root("out")) == [])
    made.settle("faults.disk", began, fault=f"source {change.__name__}")


def test_a_file_that_may_not_be_read_any_more_fails_and_leaves_nothing(stand: Make, mounts: Mounts) -> None:
    began = time.monotonic()
    disk = mounts.faulty("disk")
    made = stand(storages={"lab": disk.place, "out": None}, limits={"streams": 1}).start()
    (disk.behind / "f").write_bytes(os.urandom(LARGE))
    transfer = copied_meanwhile(made, "lab:/f", LARGE, lambda: disk.rules(open="EACCES"))
    assert made.wait(transfer)["state"] == "FAILED"
    assert made.file(transfer)["cause"]["code"] == "access-denied"
    until(lambda: os.listdir(made.root("out")) == [])
    made.settle("faults.disk", began, fault="source chmod 000")


def put(server: S3Server, key: str, data: bytes) -> None:
    server.client().put_object(Bucket=server.bucket, Key=key, Body=data)


@pytest.fixture
def bucket(seaweedfs: S3Server, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of a storage below a prefix of its own."""
    (tmp_path / "key").write_text(seaweedfs.secret_key)
    yield {
        "type": "s3", "endpoint": seaweedfs.endpoint, "bucket": seaweedfs.bucket, "region": seaweedfs.region,
        "access_key": seaweedfs.access_key, "secret_key": {"file": str(tmp_path / "key")},
        "prefix": f"{tmp_path.name}/",
    }  # fmt: skip


@SIZES
@pytest.mark.parametrize("change", ["replaced", "shorter", "deleted"])
def test_an_object_that_changes_is_copied_anew_or_fails(
    stand: Make, bucket: dict[str, Any], seaweedfs: S3Server, size: int, change: str
) -> None:
    began = time.monotonic()
    made = stand(storages={"s3": bucket, "out": None}, limits={"streams": 1}).start()
    key, new = f"{bucket['prefix']}f", os.urandom(size if change == "replaced" else size // 3)
    old = os.urandom(size)
    put(seaweedfs, key, old)

    def act() -> None:
        if change == "deleted":
            seaweedfs.client().delete_object(Bucket=seaweedfs.bucket, Key=key)
        else:
            put(seaweedfs, key, new)

    transfer = copied_meanwhile(made, "s3:/f", size, act)
    until(lambda: made.get(transfer)["finished"] is not None)
    state, out = made.file(transfer)["state"], made.root("out") / "f"
    if change == "deleted":
        assert state == "FAILED" or size == SMALL, made.tell(transfer)
    else:
        assert state == "DONE", made.tell(transfer)
        assert out.read_bytes() in (new, old), "a mixture"
    made.settle("faults.disk", began, fault=f"object {change}")


@SIZES
@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_page_that_changes_is_copied_anew_or_fails(
    stand: Make, rclone_http: Any, tmp_path: Path, size: int, change: str
) -> None:
    began = time.monotonic()
    folder = rclone_http.folder / tmp_path.name
    folder.mkdir()
    page, old, new = folder / "f", os.urandom(size), os.urandom(size - 1000)
    page.write_bytes(old)
    os.utime(page, (1, 1))
    web = {"type": "http", "url": f"{rclone_http.url}/{tmp_path.name}/"}
    made = stand(storages={"web": web, "out": None}, limits={"streams": 1}).start()
    act = page.unlink if change == "deleted" else lambda: page.write_bytes(new)
    transfer = copied_meanwhile(made, "web:/f", size, act)
    until(lambda: made.get(transfer)["finished"] is not None)
    state, out = made.file(transfer)["state"], made.root("out") / "f"
    if change == "deleted":
        assert state == "FAILED" or size == SMALL, made.tell(transfer)
    else:
        assert state == "DONE", made.tell(transfer)
        assert out.read_bytes() in (new, old), "a mixture"
    shutil.rmtree(folder)
    made.settle("faults.disk", began, fault=f"page {change}")
