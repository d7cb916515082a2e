"""Every command against a real gateway: what it does, what it prints, how it exits."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.cli.exits import MEANING, Exit


def test_help_is_there_at_once(scigate: Any) -> None:
    begun = time.monotonic()
    ran = scigate("--help")
    assert ran.code == Exit.OK
    assert all(word in ran.out for word in ("demo", "serve", "ls", "cp", "get", "doctor"))
    assert time.monotonic() - begun < 120, "a bare guard; the import test below is the sharp one"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom scigate.gateway_api.cli.app import run\nrun(['--help'])\n"
        "heavy = {'pydantic', 'httpx', 'rich', 'sqlalchemy', 'tornado', 'boto3', 'awscrt'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([os.sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


# Looking --------------------------------------------------------------------------------------------------------


def test_ls_shows_the_storages(scigate: Any) -> None:
    ran = scigate("ls")
    assert ran.code == Exit.OK
    assert "lab:/" in ran.out
    assert "hidden" not in ran.out
    assert {line["name"] for line in scigate("ls", "--json").lines} == {"lab", "archive", "mem"}


def test_ls_of_a_folder_and_of_a_file(scigate: Any, gateway_process: Any) -> None:
    folder = gateway_process.files("lab") / "listed/sub"
    folder.mkdir(parents=True)
    (folder / "deep").write_bytes(b"12345")
    assert scigate("ls", "lab:/listed").out.split()[-1] == "lab:/listed/sub/"
    assert scigate("ls", "-r", "lab:/listed/").out.split()[0] == "5"
    (line,) = scigate("ls", "--json", "lab:/listed/sub/deep").lines
    assert (line["location"], line["size"]) == ("lab:/listed/sub/deep", 5)
    assert scigate("ls", "lab:/listed/missing").code == Exit.NOT_FOUND


def test_a_name_cannot_steer_the_terminal(scigate: Any, gateway_process: Any) -> None:
    folder = gateway_process.files("lab") / "hostile"
    folder.mkdir()
    (folder / "\x1b]0;owned\x07\udcff").write_bytes(b"")
    ran = scigate("ls", "lab:/hostile/")
    assert "\x1b" not in ran.out
    assert "\\x1b]0;owned\\x07\\udcff" in ran.out
    (line,) = scigate("ls", "--json", "lab:/hostile/").lines
    assert line["name"] == "\x1b]0;owned\x07\udcff"


def test_a_closed_pipe_is_no_error_message(gateway_process: Any, scigate: Any) -> None:
    folder = gateway_process.files("lab") / "pipe"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number}-{'x' * 60}").write_bytes(b"")
    python = shlex.quote(os.sys.executable)
    shell = f"{python} -c 'from scigate.gateway_api.cli import main; main()' ls lab:/pipe/ | head -1"
    done = subprocess.run(shell, shell=True, env=gateway_process.environment(), capture_output=True, check=False)
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")


# Moving data ----------------------------------------------------------------------------------------------------


def test_cp_there_and_back(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "a.bin").write_bytes(data)
    there = scigate("cp", "a.bin", "lab:/there/")
    assert there.code == Exit.OK, there.err
    assert (gateway_process.files("lab") / "there/a.bin").read_bytes() == data
    assert "DONE" in there.err
    assert there.out == ""
    back = scigate("cp", "lab:/there/a.bin", "back.bin")
    assert (back.code, (tmp_path / "back.bin").read_bytes()) == (Exit.OK, data)
    again = scigate("get", "lab:/there/a.bin", "back.bin")
    assert again.code == Exit.LOCAL
    assert "exists already" in again.err
    assert scigate("get", "--overwrite", "lab:/there/a.bin", "back.bin").code == Exit.OK


@pytest.mark.parametrize("command", ["put a/x b/x lab:/twins/", "cp lab:/a/x lab:/b/x here/"])
def test_of_two_files_with_one_name_none_takes_the_place_of_the_other(
    scigate: Any, gateway_process: Any, tmp_path: Path, command: str
) -> None:
    for root in (tmp_path, gateway_process.files("lab")):
        for name in ("a/x", "b/x"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(name)
    refused = scigate(*command.split(), "--overwrite", "overwrite")
    assert refused.code == Exit.USAGE
    assert "would both be copied to 'x'" in refused.err
    assert not (gateway_process.files("lab") / "twins").exists()
    assert not (tmp_path / "here").exists()


def test_cp_of_several_sources_and_folders(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    for name in ("run/x/1", "run/2", "3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert scigate("cp", "run", "3", "lab:/several/").code == Exit.OK
    root = gateway_process.files("lab") / "several"
    assert [(root / name).exists() for name in ("x/1", "2", "3")] == [True] * 3
    assert scigate("cp", "lab:/several/", "archive:/several/").code == Exit.OK
    assert (gateway_process.files("archive") / "several/x/1").read_text() == "run/x/1"
    assert scigate("get", "archive:/several/", "fetched").code == Exit.OK
    assert (tmp_path / "fetched/x/1").read_text() == "run/x/1"


def test_cp_with_json_prints_one_document_and_nothing_else(scigate: Any, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "json").write_bytes(b"123")
    ran = scigate("cp", "--json", "--label", "my label", "--priority", "7", "lab:/json", "archive:/json")
    (document,) = ran.lines
    assert (document["state"], document["label"], document["priority"]) == ("DONE", "my label", 7)


def test_cp_that_fails_says_why_and_what_to_do(scigate: Any) -> None:
    ran = scigate("cp", "lab:/never-was", "archive:/x")
    assert ran.code == Exit.FAILED
    assert "lab:/never-was" in ran.err
    assert "→ " in ran.err


def test_cp_without_waiting_says_how_to_look(scigate: Any, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "nowait").write_bytes(b"1")
    ran = scigate("cp", "--no-wait", "lab:/nowait", "archive:/nowait")
    assert ran.code == Exit.OK
    id = ran.err.split()[-1]
    assert scigate("show", "--watch", id).code == Exit.OK
    assert scigate("show", "--json", id).lines[0]["state"] == "DONE"


def test_dry_run_copies_nothing(scigate: Any, gateway_process: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(b"123")
    ran = scigate("cp", "--dry-run", "--json", "run", "lab:/dry")
    assert ran.lines == [{"source": "run/a", "destination": "lab:/dry/a", "size": 3}]
    assert not (gateway_process.files("lab") / "dry").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("cp", "a", "b"),
        ("cp", "lab:/a", "https://example.org/x"),
        ("cp", "https://example.org/x", "here"),
        ("cp", "here", "lab:/a", "archive:/x/"),
        ("cp", "lab:/a", "lab:/b", "archive:/x"),
        ("cp", "s3://bucket/key", "lab:/x"),
        ("cp", "--overwrite", "maybe", "lab:/a", "archive:/b"),
        ("cp", "--priority", "5000", "lab:/a", "archive:/b"),
        ("cp", "--label", "x", "lab:/a", "."),
        ("get", "https://example.org/x"),
        ("rm", "-r", "lab:/x/"),
        ("ls", "lab"),
        ("lss",),
        ("ls", "--nope"),
        ("cp", "lab:/a", "-"),
        ("cp", "--timeout", "-5", "lab:/a", "archive:/b"),
    ],
)
def test_wrong_command_lines_say_what_is_wrong(scigate: Any, words: tuple[str, ...]) -> None:
    ran = scigate(*words)
    assert ran.code == Exit.USAGE
    assert ran.err.strip()
    assert ran.out == ""


def test_ctrl_c_while_waiting_leaves_the_transfer_alone(
    scigate: Any, gateway_process: Any, slow_url: str, tmp_path: Path
) -> None:
    command = [os.sys.executable, "-c", "from scigate.gateway_api.cli import main; main()"]
    waiting = subprocess.Popen(
        [*command, "cp", "--label", "interrupted while it waits", slow_url, "lab:/never"],
        env=gateway_process.environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    id = _id_of(scigate, "interrupted while it waits")
    assert waiting.stderr is not None
    waiting.stderr.readline()  # the first line of progress: it has begun to wait
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=120)
    state = scigate("show", "--json", id).lines[0]["state"]
    ended = scigate("cancel", id)
    assert waiting.returncode == Exit.INTERRUPTED
    assert f"scigate show --watch {id}" in err
    assert "Traceback" not in err
    assert state not in ("CANCELLED", "CANCELLING")
    assert ended.code == Exit.OK
    assert scigate("show", "--watch", id).code == Exit.INTERRUPTED


def _id_of(scigate: Any, label: str) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = [line["id"] for line in scigate("transfers", "--json").lines if line["label"] == label]
        if found:
            return str(found[0])
    raise AssertionError(f"no transfer {label!r}")


# Transfers ------------------------------------------------------------------------------------------------------


def test_transfers_and_show(scigate: Any, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "cli-shown").write_bytes(b"12345")
    (document,) = scigate("cp", "--json", "--label", "to be shown", "lab:/cli-shown", "archive:/cli-shown").lines
    assert "to be shown" in scigate("transfers", "--state", "done").out
    text = scigate("show", "--files", "--events", document["id"]).out
    assert "lab:/cli-shown → archive:/cli-shown" in text
    assert "transfer.submitted" in text
    whole = scigate("show", "--files", "--events", "--json", document["id"]).lines[0]
    assert whole["all_files"][0]["size"] == 5
    assert whole["events"][-1]["type"] == "scigate.transfer.done"
    assert scigate("show", document["id"], user="bo").code == Exit.NOT_FOUND
    assert scigate("show", "0" * 32).code == Exit.NOT_FOUND


def test_steering_what_is_finished_is_refused(scigate: Any, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "steered").write_bytes(b"1")
    (document,) = scigate("cp", "--json", "lab:/steered", "archive:/steered").lines
    for command in ("pause", "resume", "cancel", "retry"):
        ran = scigate(command, document["id"])
        assert ran.code == Exit.REFUSED, command
        assert "→ " in ran.err


# Changing -------------------------------------------------------------------------------------------------------


def test_mkdir_mv_rm(scigate: Any, gateway_process: Any) -> None:
    root = gateway_process.files("lab") / "changed"
    assert scigate("mkdir", "lab:/changed/sub").code == Exit.OK
    (root / "sub/a").write_bytes(b"1")
    assert scigate("mv", "lab:/changed/sub/a", "lab:/changed/").code == Exit.OK
    assert (root / "a").read_bytes() == b"1"
    assert scigate("rm", "lab:/changed/a").code == Exit.OK
    assert not (root / "a").exists()
    assert scigate("rm", "lab:/changed/a").code == Exit.NOT_FOUND
    (root / "sub/b").write_bytes(b"2")
    ran = scigate("rm", "-r", "--yes", "--json", "lab:/changed/")
    assert ran.code == Exit.OK, ran.err
    assert not root.exists()
    assert {line["removed"] for line in ran.lines} == {"lab:/changed/sub/b", "lab:/changed/sub/", "lab:/changed/"}


# Whom to ask ----------------------------------------------------------------------------------------------------


def test_without_a_token_and_with_a_wrong_one(scigate: Any, tmp_path: Path) -> None:
    none = scigate("ls", user=None)
    assert none.code == Exit.NO_ACCESS
    assert "scigate token" in none.err
    wrong = scigate("ls", env={"SCIGATE_TOKEN": "wrong" * 10})
    assert wrong.code == Exit.NO_ACCESS
    assert "wrongwrong" not in wrong.err
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(0o644)
    assert "chmod 600" in scigate("ls", user=None, env={"SCIGATE_TOKEN_FILE": str(path)}).err


def test_a_gateway_that_is_not_there(scigate: Any, free_port: int) -> None:
    ran = scigate("ls", "--json", "--url", f"http://127.0.0.1:{free_port}")
    assert ran.code == Exit.UNREACHABLE
    assert "scigate serve" in ran.err
    (document,) = ran.lines
    assert document["error"]["exit_code"] == Exit.UNREACHABLE


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
def test_something_else_at_the_address(scigate: Any, status: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(240)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            with server.accept()[0] as client, client.makefile("rb") as request:
                assert b"\r\n" in request, "its head is whole"
                client.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nhi" % status)

        threading.Thread(target=answer, daemon=True).start()
        ran = scigate("ls", "--url", url)
    assert ran.code == Exit.UNREACHABLE
    assert "does not look like a SciGate gateway" in ran.err


def test_debug_shows_where_an_error_comes_from(scigate: Any) -> None:
    assert "Traceback" in scigate("ls", "lab", "--debug").err


# For who runs it ------------------------------------------------------------------------------------------------


def test_token_is_shown_once_with_the_line_for_the_settings(scigate: Any) -> None:
    ran = scigate("token", "ada")
    token = ran.out.strip()
    assert len(token) >= 40
    assert f'token_hash = "sha256:{sha256(token.encode()).hexdigest()}"' in ran.err
    assert token not in ran.err
    (document,) = scigate("token", "--json", "ada").lines
    assert document["token"] != token


@pytest.mark.parametrize("name", ["", "a b", 'x"]\n[users.root', "-ada", "a" * 65])
def test_a_token_is_only_made_for_a_name_that_the_settings_take(scigate: Any, name: str) -> None:
    assert scigate("token", "--", name).code == Exit.USAGE


def test_version(scigate: Any) -> None:
    assert scigate("--version").out.startswith("scigate 0.")
    assert scigate("version").out.startswith("scigate 0.")
    assert set(scigate("version", "--json").lines[0]) == {"scigate", "python"}


def test_completion_of_commands_storages_and_paths(scigate: Any, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "completed").mkdir()
    (gateway_process.files("lab") / "completed/ab").write_bytes(b"")

    def complete(words: str, position: int) -> list[str]:
        env = {"_SCIGATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        end = time.monotonic() + 120
        while not (lines := scigate(env=env).out.split()):  # the gateway is waited for a second
            assert time.monotonic() < end
        return [line.partition(",")[2] for line in lines]

    assert complete("scigate tran", 1) == ["transfers"]
    assert complete("scigate ls l", 2) == ["lab:/"]
    assert complete("scigate cp x lab:/completed/a", 3) == ["lab:/completed/ab"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(scigate: Any, shell: str) -> None:
    ran = scigate("completion", shell)
    assert (ran.code, ran.err) == (Exit.OK, "")
    assert "_SCIGATE_COMPLETE" in ran.out


def test_migrate_makes_the_database(scigate: Any, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f"[gateway]\nstate_dir = {json.dumps(str(tmp_path / 'state'))}\n")
    for _ in range(2):
        (document,) = scigate("migrate", "--json", "--config", "own.toml").lines
        assert document["revision"]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_conformance_of_a_configured_storage(scigate: Any, gateway_process: Any) -> None:
    ran = scigate("conformance", "mem", "--many", "20", "--config", gateway_process.config)
    assert ran.code == Exit.OK, ran.err
    assert "passed" in ran.err
    wrong = scigate("conformance", "nope", "--config", gateway_process.config)
    assert wrong.code == Exit.USAGE
    assert "lab" in wrong.err


@pytest.mark.parametrize("many", ["1", "5"])
def test_conformance_with_few_files(scigate: Any, gateway_process: Any, many: str) -> None:
    ran = scigate("conformance", "mem", "--many", many, "--config", gateway_process.config)
    assert ran.code == Exit.OK, ran.err


def test_conformance_writes_nothing_into_a_storage_for_reading(scigate: Any, tmp_path: Path) -> None:
    root = tmp_path / "ro"
    root.mkdir()
    root.chmod(0o755)
    before = root.stat().st_mtime_ns
    config = tmp_path / "scigate.toml"
    config.write_text(f'[storages.ro]\ntype = "posix"\nread_only = true\nroot = "{root}"\n')
    ran = scigate("conformance", "ro", "--config", config)
    assert ran.code == Exit.OK, ran.err
    assert "nothing is written there" in ran.err
    assert (list(root.iterdir()), root.stat().st_mtime_ns) == ([], before)


def test_settings_that_cannot_be_used_are_said_in_full(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[gateway]\nprot = 1\n[limits]\nmax_active = 0\n")
    code = "from scigate.gateway_api.cli import main; main()"  # ``serve`` changes the process that it runs in
    command = [os.sys.executable, "-c", code, "serve", "--config", "own.toml"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == Exit.USAGE
    assert "prot" in ran.stderr
    assert "port" in ran.stderr
    assert "max_active" in ran.stderr
