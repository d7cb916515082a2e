"""What the command line says: to whom it may concern, what can be done, and nothing that steers a terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.exits import Exit
from scigate.gateway_api.cli.local import Broken, rate
from scigate.gateway_api.client import GatewayUnreachable


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("cp", "nowhere:/a", "archive:/"), Exit.NOT_FOUND),
        (("cp", "lab:/a", "nowhere:/a"), Exit.NOT_FOUND),
        (("cp", "./is-missing", "lab:/"), Exit.LOCAL),
        (("ls", "--url", "foo"), Exit.USAGE),
    ],
)
def test_what_does_not_exist_has_a_code_of_its_own(scigate: Any, words: tuple[str, ...], code: Exit) -> None:
    ran = scigate(*words)
    assert ran.code == code, ran.err
    assert "→ " in ran.err


def test_next_steps_can_be_taken(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    for name in ("step-1", "step-2"):
        (gateway_process.files("lab") / name).write_text(name)
    (tmp_path / "step-1").write_text("here")
    moved = scigate("mv", "lab:/step-1", "lab:/step-2").err
    assert "overwrite" in moved
    assert "newer" not in moved
    assert "--overwrite" in scigate("get", "lab:/step-1").err
    assert "scigate ls" in scigate("ls", "nowhere:/").err


@pytest.mark.parametrize("command", ["cp", "put"])
def test_a_destination_that_is_missing_is_said_to_be_missing(scigate: Any, command: str) -> None:
    ran = scigate(command, "lab:/only-one")
    assert (ran.code, "where to" in ran.err) == (Exit.USAGE, True), ran.err


def test_names_in_messages_do_not_steer_the_terminal(scigate: Any) -> None:
    ran = scigate("mkdir", "lab:/steer\x1b[2J\nx/")
    assert (ran.code, "\x1b" in ran.err) == (Exit.OK, False)
    ran = scigate("cp", "lab:/not\x1b[2J\nthere", "archive:/x\x1b[2J\ny")
    assert (ran.code, "\x1b" in ran.err) == (Exit.FAILED, False)
    assert "lab:/not\\x1b[2J\\nthere → archive:/x\\x1b[2J\\ny" in ran.err


def test_behind_two_dashes_there_are_no_options(scigate: Any, tmp_path: Path) -> None:
    (tmp_path / "--json").write_text("a file")
    ran = scigate("cp", "--", "--json", "lab:/dashes/")
    assert (ran.code, ran.out) == (Exit.OK, "")


def test_a_folder_without_files_is_said_to_be_so(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    (tmp_path / "empty/inner").mkdir(parents=True)
    (gateway_process.files("lab") / "empty-there/inner").mkdir(parents=True)
    for source in ("empty/", "lab:/empty-there/"):
        ran = scigate("cp", source, "archive:/empty/")
        assert ran.code == Exit.OK
        assert "othing to copy: the folder has no files" in ran.err


def test_rm_goes_on_behind_what_is_not_there_and_names_it(scigate: Any, gateway_process: Any) -> None:
    for name in ("rm-a", "rm-b"):
        (gateway_process.files("lab") / name).mkdir()
        (gateway_process.files("lab") / name / "file").write_text(name)
    ran = scigate("rm", "-ry", "lab:/rm-a/", "lab:/rm-nope/", "lab:/rm-b/")
    assert ran.code == Exit.NOT_FOUND
    assert "Not removed: lab:/rm-nope/" in ran.err
    assert not (gateway_process.files("lab") / "rm-a").exists()
    assert not (gateway_process.files("lab") / "rm-b").exists()


def test_rm_says_what_was_not_removed_when_nobody_answers(scigate: Any, free_port: int) -> None:
    ran = scigate("rm", "lab:/one", "lab:/two", env={"SCIGATE_URL": f"http://127.0.0.1:{free_port}"})
    assert ran.code == Exit.UNREACHABLE
    assert "Not removed: lab:/one" in ran.err
    assert "Not removed: lab:/two" in ran.err


def test_a_paused_transfer_says_how_it_is_resumed(scigate: Any, gateway_process: Any) -> None:
    url = f"http://127.0.0.1:{gateway_process.web_port}/nobody-listens"
    assert scigate("cp", "--no-wait", "--label", "pauses", url, "lab:/pauses").code == Exit.OK
    (id,) = [line["id"] for line in scigate("transfers", "--json").lines if line["label"] == "pauses"]
    assert scigate("pause", id).code == Exit.OK
    end = time.monotonic() + 120
    while f"resume with: scigate resume {id}" not in scigate("show", id).out:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert scigate("cancel", id).code == Exit.OK


def test_of_a_folder_with_many_failures_ten_are_named_and_each_advice_once(
    scigate: Any, gateway_process: Any, tmp_path: Path
) -> None:
    there = gateway_process.files("lab") / "many-failures"
    for folder in (there, tmp_path / "many"):
        folder.mkdir()
        for number in range(13):
            (folder / f"{number:02}").write_text(folder.name)
    ran = scigate("put", "many", "lab:/many-failures/")
    assert ran.code == Exit.FAILED
    lines = ran.err.splitlines()
    assert len([line for line in lines if line.startswith("  upload:")]) == 10
    assert len([line for line in lines if line.startswith("→ ")]) == 1
    assert "and 3 more" in ran.err


def test_why_an_upload_is_tried_again_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("It is full now.", "It is full now"):
        Broken()(GatewayUnreachable(message))
    assert capsys.readouterr().err == "It is full now. Trying again.\n" * 2


@pytest.mark.parametrize(
    ("lately", "count", "elapsed", "shown"),
    [(None, 0, None, ""), (None, 0, 2.0, ""), (None, 2048, 2.0, "1.0 KiB/s"), (1024.0, 9, 1.0, "1.0 KiB/s")],
)
def test_a_rate_is_a_number_or_nothing(lately: float | None, count: float, elapsed: float | None, shown: str) -> None:
    assert rate(lately, count, elapsed) == shown


def test_show_says_when_a_waiting_file_is_tried_again(scigate: Any, gateway_process: Any) -> None:
    url = f"http://127.0.0.1:{gateway_process.web_port}/nobody-listens"
    assert scigate("cp", "--no-wait", "--label", "waits", url, "lab:/waits").code == Exit.OK
    (id,) = [line["id"] for line in scigate("transfers", "--json").lines if line["label"] == "waits"]
    end = time.monotonic() + 120
    while "tried again at 2" not in scigate("show", "--files", id).out:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert scigate("cancel", id).code == Exit.OK
