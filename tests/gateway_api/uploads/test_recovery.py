"""When bytes that were never synced may be trusted: after a death of the process, not after one of its disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scigate.gateway_api.uploads.recovery import Boot
from scigate.storage_backends.posix_calls import mount_number


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A place where a file system can be mounted; unmounted at the end."""
    if os.geteuid() != 0 or mount_number(str(tmp_path)) is None:
        pytest.skip("needs root and a Linux that numbers its mounts (6.8)")
    place = tmp_path / "disk"
    place.mkdir()
    yield place
    subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def test_after_a_death_of_the_process_they_are(tmp_path: Path) -> None:
    assert not Boot(tmp_path, tmp_path).is_same(), "nothing is known of what was before"
    Boot(tmp_path, tmp_path).remember()
    assert Boot(tmp_path, tmp_path).is_same()


def test_after_a_start_of_the_machine_they_are_not(tmp_path: Path) -> None:
    Boot(tmp_path, tmp_path).remember()
    (tmp_path / "boot-id").write_text("another")
    assert not Boot(tmp_path, tmp_path).is_same()


def test_after_the_disk_was_mounted_anew_they_are_not(tmp_path: Path, disk: Path) -> None:
    """It may have lost its power while the machine had not: an external one, or one of a network."""
    subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
    Boot(tmp_path, disk).remember()
    assert Boot(tmp_path, disk).is_same()
    subprocess.run(["umount", disk], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
    assert not Boot(tmp_path, disk).is_same()
