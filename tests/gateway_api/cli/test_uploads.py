"""``scigate put`` and ``scigate uploads``: what is sent, what is under way, and how one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.exits import Exit
from scigate.gateway_api.client import Gateway, sending

COMMAND = [sys.executable, "-c", "from scigate.gateway_api.cli import main; main()"]


class Stopped(Exception):
    """Raised in the middle of a put."""


@pytest.fixture
def open_upload(gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of an upload of bo's, of which 16 of 30 MiB have arrived and whose sender is gone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("SMALLEST", "FIRST", "LARGEST"):  # requests of 8 MiB, however slow this machine is
        monkeypatch.setattr(sending, name, 8 << 20)
    (tmp_path / "open").write_bytes(bytes(30 << 20))
    total = 0

    def sent(count: int) -> None:
        nonlocal total
        total += count
        if total > 20 << 20:
            raise Stopped

    with Gateway(gateway_process.url, gateway_process.environment("bo")["SCIGATE_TOKEN"]) as gateway:
        with pytest.raises(Stopped):
            gateway.put(tmp_path / "open", f"lab:/{tmp_path.name}/", sent=sent)
        (upload,) = [upload for upload in gateway.uploads() if upload.state == "RECEIVING"]
        yield upload.id
        if gateway.upload(upload.id).state == "RECEIVING":
            gateway.cancel_upload(upload.id)


def test_put_sends_files_and_folders(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    ran = scigate("put", "tree", "b", "lab:/cli-put/")
    assert ran.code == Exit.OK, ran.err
    root = gateway_process.files("lab") / "cli-put"
    assert ((root / "sub/a").read_bytes(), (root / "b").read_bytes()) == (b"a", b"b")
    (document,) = scigate("put", "--json", "--label", "mine", "b", "lab:/cli-put/c").lines
    assert (document["label"], document["state"]) == ("mine", "DONE")


@pytest.mark.parametrize("words", [("put", "b", "elsewhere"), ("put", "b", "c", "lab:/x"), ("put", "b")])
def test_put_goes_to_a_storage(scigate: Any, words: tuple[str, ...]) -> None:
    assert scigate(*words).code == Exit.USAGE


def test_uploads_are_listed_with_both_legs_and_can_be_cancelled(scigate: Any, open_upload: str) -> None:
    row = next(line for line in scigate("uploads", user="bo").out.splitlines() if open_upload in line)
    assert "RECEIVING" in row
    assert "30.0 MiB" in row
    assert "53 %" in row
    (document,) = [line for line in scigate("uploads", "--json", user="bo").lines if line["id"] == open_upload]
    assert document["arrived"]["bytes"] == 16 << 20
    assert open_upload not in scigate("uploads", user="ada").out
    assert scigate("uploads", "cancel", open_upload, user="ada").code == Exit.NOT_FOUND
    ran = scigate("uploads", "cancel", open_upload, user="bo")
    assert (ran.code, "nothing of it is delivered" in ran.err) == (Exit.OK, True)
    assert open_upload not in scigate("uploads", user="bo").out
    assert "CANCELLED" in scigate("uploads", "--all", user="bo").out


def test_the_same_put_goes_on_and_says_where(
    scigate: Any, open_upload: str, gateway_process: Any, tmp_path: Path
) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    ran = scigate("put", tmp_path / "open", f"lab:/{tmp_path.name}/", user="bo", env=env)
    assert ran.code == Exit.OK, ran.err
    assert "Resumed at 53 %." in ran.err
    assert (gateway_process.files("lab") / tmp_path.name / "open").read_bytes() == bytes(30 << 20)


def test_show_says_what_has_arrived_and_until_when_the_same_put_goes_on(
    scigate: Any, open_upload: str, gateway_process: Any
) -> None:
    (document,) = [line for line in scigate("uploads", "--json", user="bo").lines if line["id"] == open_upload]
    expires = datetime.fromisoformat(document["expires"]).astimezone()
    end = time.monotonic() + 120
    while "the same put again" not in (shown := scigate("show", "--files", document["transfer"], user="bo").out):
        assert time.monotonic() < end, shown
        time.sleep(0.1)
    assert "16.0 MiB of 30.0 MiB have arrived at the gateway" in shown, shown
    assert f"give the same put again, until {expires:%Y-%m-%d %H:%M}" in shown
    assert "tried again at" not in shown


def test_ctrl_c_says_how_to_go_on(gateway_process: Any, tmp_path: Path) -> None:
    path = tmp_path / "interrupted"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    sender = subprocess.Popen(
        [*COMMAND, "put", str(path), "lab:/interrupted"],
        env=gateway_process.environment() | {"HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not any('"upload"' in record.read_text() for record in (tmp_path / ".local").rglob("*.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.01)
    sender.send_signal(signal.SIGINT)
    _, said = sender.communicate(timeout=120)
    assert sender.returncode == Exit.INTERRUPTED
    assert "The same command goes on" in said
    assert "scigate uploads" in said
    assert "Traceback" not in said
