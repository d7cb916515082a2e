"""A folder as one archive on this machine: proven, or not there."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import DataDamaged, Gateway, GatewayUnreachable, InvalidArgument, LocalFileError
from scigate.gateway_api.client.archives import MANIFEST, _proven
from scigate.gateway_api.resources import ArchiveKind

TREE = {"a": b"first", "sub/b": b"x" * 3_000_000, "empty": b""}


@pytest.fixture
def folder(gateway_process: Any, request: pytest.FixtureRequest) -> str:
    """The location of a folder of this test's own with ``TREE`` and a link."""
    name = f"archive-{abs(hash(request.node.name)):x}"
    root = gateway_process.files("lab") / name
    for path, data in TREE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "link").symlink_to("a")
    return f"lab:/{name}/"


def names_in(archive: Path) -> list[str]:
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            return tar.getnames()
    with zipfile.ZipFile(archive) as zipped:
        return zipped.namelist()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_it_arrives_whole_and_proven(gateway: Gateway, folder: str, tmp_path: Path, kind: str) -> None:
    counted: list[int] = []
    got = gateway.get_archive(folder, tmp_path / f"out.{kind}", received=counted.append)
    assert (got.files, got.size) == (len(TREE), got.path.stat().st_size)
    assert sum(counted) == got.size
    assert [path.rpartition("/")[2] for path, _ in got.skipped] == ["link"]
    assert names_in(got.path)[-1] == MANIFEST
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [f"out.{kind}"]


def test_what_is_there_is_kept(gateway: Gateway, folder: str, tmp_path: Path) -> None:
    (tmp_path / "out.tar").write_bytes(b"mine")
    with pytest.raises(LocalFileError, match="exists already"):
        gateway.get_archive(folder, tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_bytes() == b"mine"
    assert gateway.get_archive(folder, tmp_path / "out.tar", overwrite=True).files == len(TREE)


def test_the_name_or_the_caller_says_the_kind(gateway: Gateway, folder: str, tmp_path: Path) -> None:
    for target, kind in (("out", None), ("out.tar", "rar")):
        with pytest.raises(InvalidArgument):
            gateway.get_archive(folder, tmp_path / target, kind=kind)
    assert tarfile.is_tarfile(gateway.get_archive(folder, tmp_path / "out", kind="tar").path)


def test_one_that_breaks_off_leaves_nothing(
    cutting_proxy: Any, through_proxy: Callable[[], Gateway], folder: str, tmp_path: Path
) -> None:
    cutting_proxy.cut_after = 600_000
    with pytest.raises(GatewayUnreachable, match="broke off"):
        through_proxy().get_archive(folder, tmp_path / "out.tar")
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("kind", list(ArchiveKind))
def test_damage_is_found(gateway: Gateway, folder: str, tmp_path: Path, kind: ArchiveKind) -> None:
    whole = gateway.get_archive(folder, tmp_path / f"out.{kind}").path.read_bytes()
    place = whole.index(b"x" * 1000) + 500
    damaged = tmp_path / "damaged"
    for data in (whole[:place] + b"y" + whole[place + 1 :], whole[:place], whole[: whole.index(b'"complete"')], b""):
        damaged.write_bytes(data)
        with pytest.raises(DataDamaged):
            _proven(damaged, kind)
