"""``scigate get --archive``."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scigate.gateway_api.cli.exits import Exit


def test_a_folder_comes_as_one_file(scigate: Callable[..., Any], gateway_process: Any, tmp_path: Path) -> None:
    folder = gateway_process.files("lab") / "packed"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_bytes(b"hello")
    ran = scigate("get", "--archive", "tar", "lab:/packed/", "out.tar")
    assert ran.code == Exit.OK, ran.err
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == ["packed/a.txt", "SCIGATE-MANIFEST.json"]
    ran = scigate("get", "--archive", "zip", "--json", "lab:/packed/", ".")
    assert ran.lines[0]["files"] == 1
    assert Path(ran.lines[0]["path"]).name == "packed.zip"
    assert scigate("get", "--archive", "zip", "lab:/packed/", ".").code != Exit.OK
    assert scigate("get", "--archive", "zip", "lab:/packed/a.txt", ".").code == Exit.USAGE
