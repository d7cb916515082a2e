"""The demo's folder: emptied only if it is a demo's, used by one at a time, and gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from scigate.gateway_api.demo import run
from scigate.gateway_api.demo.service import DemoFailed, _settings, require_space, working_folder
from scigate.storage_backends.testing.servers import S3Server


def test_the_folder_is_empty_at_first_and_gone_at_last(tmp_path: Path) -> None:
    place = tmp_path / ".demo"
    with working_folder(place) as folder:
        (folder / "state").mkdir()
        (folder / "state" / "file").touch()
    assert not place.exists()


def test_what_a_killed_demo_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "old").mkdir()
    with working_folder(tmp_path) as folder:
        assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoFailed, match="not the demo's"), working_folder(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_of_somebody_else_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o000)
    code = (
        "import sys; from pathlib import Path; from scigate.gateway_api.demo import run; run(folder=Path(sys.argv[1]))"
    )
    # Root may write everywhere, unless that is taken away.
    humble = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*humble, sys.executable, "-c", code, str(tmp_path / "theirs")]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "500"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"you may not write to {tmp_path / 'theirs'}: run the demo in a folder of your own" in done.stdout


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    place = tmp_path / ".demo"
    with working_folder(place):
        with pytest.raises(DemoFailed, match="another demo is running"), working_folder(place):
            pass
        assert place.exists()


def test_missing_space_is_said_with_numbers(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match=r"needs 1048576\.0 GiB .* GiB are free"):
        require_space(tmp_path, 2**50)


def test_the_settings_hold_no_secret_and_survive_odd_paths(tmp_path: Path) -> None:
    folder = tmp_path / 'odd "name"'
    s3 = S3Server("seaweedfs", "http://127.0.0.1:1", "AKx", "very-secret", 1)
    text = _settings(folder, folder / "lab", s3, "http://127.0.0.1:2", port=8470, token="very-private")
    settings = tomllib.loads(text)
    assert settings["storages"]["lab"]["root"] == str(folder / "lab")
    assert settings["egress"]["allow"] == ["127.0.0.1:2"]
    assert "very-" not in json.dumps(settings)


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(once=True, folder=tmp_path / "file" / ".demo") == 1
    assert "Not a directory" in " ".join(capsys.readouterr().out.split())  # it wraps lines
