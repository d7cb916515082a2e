"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api import doctor as doctor_module
from scigate.gateway_api import doctor_gateway
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.doctor import NETWORK, examine, filesystem
from scigate.gateway_api.resources import Check
from scigate.storage_backends.memory import MemoryBackend
from scigate.storage_backends.testing import servers

Examine = Callable[..., dict[str, Check]]
USER = f'[users.ada]\ntoken_hash = "sha256:{"0" * 64}"\n'


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers at all is waited for."""
    for module in (doctor_module, doctor_gateway):
        monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=120))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def doctor(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """``doctor(toml)`` examines these settings; the checks by name, of several with one name a wrong one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SCIGATE_CONFIG", "SCIGATE_URL", "SCIGATE_TOKEN", "SCIGATE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "lab").mkdir()
    state = json.dumps(str(tmp_path / "state"))
    lab = f'[storages.lab]\ntype = "posix"\nroot = {json.dumps(str(tmp_path / "lab"))}\n'

    def run(toml: str | None = None, *, more: str = "", gateway: str = "", **env: str) -> dict[str, Check]:
        usual = f"[gateway]\nport = {free_port}\nstate_dir = {state}\n{gateway}\n{lab}{USER}{more}"
        (tmp_path / "scigate.toml").write_text(usual if toml is None else toml)
        found = sorted(examine(tmp_path / "scigate.toml", env), key=lambda check: not check.ok)
        return {check.name: check for check in reversed(found)} | {c.name: c for c in found if not c.ok}

    return run


def wrong(checks: dict[str, Check]) -> set[str]:
    assert all(check.next_step for check in checks.values() if not check.ok)
    return {check.name for check in checks.values() if not check.ok}


def test_all_in_order_and_nothing_left_behind(doctor: Examine, tmp_path: Path) -> None:
    checks = doctor(SCIGATE_TOKEN="a-token")
    assert wrong(checks) == set()
    assert "a file was written, read and removed" in checks["storage lab"].message
    assert "is free" in checks["gateway"].message
    assert list((tmp_path / "lab").iterdir()) == []
    assert not (tmp_path / "state").exists()


def test_what_is_there_is_counted(doctor: Examine, tmp_path: Path) -> None:
    assert doctor()["settings"].message.endswith("1 storage and 1 user")
    none = doctor('[storages.a]\ntype = "memory"\n[storages.b]\ntype = "memory"\n')
    assert none["settings"].message.endswith("2 storages and 0 users")


def test_the_database_is_named_by_its_path(doctor: Examine, tmp_path: Path) -> None:
    state = tmp_path / "daten für alle"
    state.mkdir(mode=0o700)
    (state / "scigate.db").touch(0o600)
    checks = doctor(f"[gateway]\nport = 0\nstate_dir = {json.dumps(str(state))}\n")
    assert checks["database"].message.startswith(f"{state}/scigate.db is at revision none")


def test_settings_that_are_wrong_are_all_said(doctor: Examine, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[gateway]\nprot = 1\n[limits]\nmax_active = 0\n")
    messages = [check.message for check in examine(tmp_path / "own.toml", {}) if check.name == "settings"]
    assert len(messages) == 2
    assert any("prot" in message and "port" in message for message in messages)


def test_users_of_a_hub_are_users(doctor: Examine) -> None:
    hub = '[hub]\napi_url = "http://127.0.0.1:8081/hub/api"\napi_token = { env = "HUB_TOKEN" }\n'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUB_TOKEN", "t" * 32)
        checks = doctor(hub)
    assert checks["users"].ok
    assert "http://127.0.0.1:8081/hub/api" in checks["users"].message


def test_no_users_and_no_storages(doctor: Examine) -> None:
    assert {"users", "storages"} <= wrong(doctor("[gateway]\nport = 0\n"))


def test_a_storage_that_cannot_be_used_is_named_and_the_others_are_examined(doctor: Examine, tmp_path: Path) -> None:
    gone = json.dumps(str(tmp_path / "gone"))
    checks = doctor(more=f'[storages.other]\ntype = "posix"\nroot = {gone}\n')
    assert wrong(checks) == {"storage other"}
    assert checks["storage lab"].ok


def test_a_storage_for_reading_is_not_written(doctor: Examine, tmp_path: Path) -> None:
    root = json.dumps(str(tmp_path / "lab"))
    checks = doctor(more=f'[storages.other]\ntype = "posix"\nread_only = true\nroot = {root}\n')
    assert "for reading only" in checks["storage other"].message


def test_a_web_server_is_in_order_when_it_answers(doctor: Examine) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        checks = doctor(more=f'[storages.web]\ntype = "http"\nurl = "http://127.0.0.1:{server.server_port}/"\n')
        server.shutdown()
    assert wrong(checks) == set()
    assert "for reading only" in checks["storage web"].message


def test_a_storage_that_is_down_leaves_something_to_do(doctor: Examine, free_port: int) -> None:
    checks = doctor(more=f'[storages.web]\ntype = "http"\nurl = "http://127.0.0.1:{free_port}/"\n')
    assert wrong(checks) == {"storage web"}
    assert "Check that it runs" in str(checks["storage web"].next_step)


def test_a_storage_that_cannot_keep_what_is_there_is_told(
    doctor: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[str], Path]
) -> None:
    require("rclone")
    with servers.rclone_s3(tmp_path / "lab") as server:
        monkeypatch.setenv("SECRET", server.secret_key)
        checks = doctor(
            more=f"""[storages.s3]
type = "s3"
endpoint = "{server.endpoint}"
bucket = "{server.bucket}"
access_key = "{server.access_key}"
secret_key = {{ env = "SECRET" }}
"""
        )
        left = server.client().list_objects_v2(Bucket=server.bucket).get("Contents", [])
    assert checks["storage s3"].ok
    assert "does not honour If-None-Match), so overwrite=fail is best effort" in checks["storage s3"].message
    assert "best effort" not in checks["storage lab"].message
    assert left == []


def test_a_storage_that_replaces_what_it_was_told_to_keep(doctor: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryBackend.put

    def forgetful(self: MemoryBackend, path: str, data: bytes, **more: Any) -> object:
        return put(self, path, data, **{**more, "if_absent": False})

    monkeypatch.setattr(MemoryBackend, "put", forgetful)
    checks = doctor(more='[storages.mem]\ntype = "memory"\n')
    assert wrong(checks) == {"storage mem"}
    assert "replaced a file that it was told to keep" in checks["storage mem"].message


def test_modes_of_files(doctor: Examine, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    (tmp_path / "state").mkdir(mode=0o755)
    checks = doctor(more=f"[users.bo]\ntoken = {{ file = {json.dumps(str(secret))} }}\n")
    assert {"files", "state"} <= wrong(checks)
    assert f"chmod 600 {secret}" in str(checks["files"].next_step)
    assert "x" * 40 not in str(checks)
    secret.chmod(0o600)
    (tmp_path / "state").chmod(0o700)
    (tmp_path / "scigate.toml").chmod(0o666)
    assert wrong(doctor()) == {"files"}


def test_a_state_folder_that_is_for_other_things(doctor: Examine, tmp_path: Path) -> None:
    (tmp_path / "state" / "others").mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    checks = doctor()
    assert wrong(checks) == {"state"}
    assert "folder of its own" in str(checks["state"].next_step)


@pytest.mark.parametrize("blocked", ["state", "state/deeper"])
def test_a_state_folder_that_cannot_be_one(doctor: Examine, tmp_path: Path, blocked: str) -> None:
    (tmp_path / "state").write_text("a file")
    state = json.dumps(str(tmp_path / blocked))
    assert "state" in wrong(doctor(f"[gateway]\nport = 0\nstate_dir = {state}\n"))


def test_a_database_behind_the_newest_revision(doctor: Examine, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    database = tmp_path / "state" / "scigate.db"
    database.touch(0o600)
    checks = doctor()
    assert "scigate migrate" in str(checks["database"].next_step)
    migrate(f"sqlite:///{database}")
    assert wrong(doctor()) == set()


def test_a_database_that_is_not_one(doctor: Examine, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "scigate.db").write_bytes(b"no database" * 1000)
    assert wrong(doctor()) == {"database"}


def test_a_database_server_that_does_not_answer(
    doctor: Examine, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", f"postgresql+psycopg://scigate:s3cret-word@127.0.0.1:{free_port}/x")
    checks = doctor(more='[database]\nurl = { env = "DATABASE" }\n')
    assert wrong(checks) == {"database"}
    assert "s3cret-word" not in str(checks)


def test_a_token_file_that_others_can_read(doctor: Examine, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret-token")
    path.chmod(0o644)
    checks = doctor(SCIGATE_TOKEN_FILE=str(path))
    assert wrong(checks) == {"token"}
    assert "chmod 600" in str(checks["token"].next_step)


def test_a_port_that_somebody_else_has(doctor: Examine, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        threading.Thread(target=answer, daemon=True).start()
        checks = doctor()
    assert wrong(checks) == {"gateway"}
    assert "something else answers" in checks["gateway"].message


def test_a_gateway_that_runs(gateway_process: Any, tmp_path: Path) -> None:
    checks = {check.name: check for check in examine(gateway_process.config, gateway_process.environment())}
    assert all(check.ok for check in checks.values()), checks
    assert "runs at" in checks["gateway"].message
    assert "agree" in checks["clocks"].message


def test_a_gateway_that_takes_its_time_has_no_other_clock(
    gateway_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared when its first answer comes, not when all is asked."""
    late = [timedelta(0)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + late[0]

    def slowly(url: str, *_: object) -> Iterator[Check]:
        late[0] += timedelta(minutes=1)
        yield Check(name="gateway", ok=True, message=url)

    monkeypatch.setattr(doctor_gateway, "datetime", Clock)
    monkeypatch.setattr(doctor_gateway, "_as_user", slowly)
    checks = {check.name: check for check in examine(gateway_process.config, gateway_process.environment())}
    assert checks["clocks"].ok, checks["clocks"].message


def test_a_gateway_that_runs_but_refuses_the_token(gateway_process: Any) -> None:
    env = gateway_process.environment() | {"SCIGATE_TOKEN": "wrong" * 10}
    checks = [check for check in examine(gateway_process.config, env) if not check.ok]
    assert [check.name for check in checks] == ["gateway"]


@pytest.mark.parametrize("named", [True, False])
def test_settings_that_nobody_named_and_others_can_write_get_no_token(
    gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCIGATE_CONFIG", raising=False)
    here = Path("scigate.toml")
    here.write_text(f"[gateway]\nport = {gateway_process.url.rpartition(':')[2]}\nstate_dir = '{tmp_path}/state'\n")
    here.chmod(0o646)
    env = {"SCIGATE_TOKEN": gateway_process.environment()["SCIGATE_TOKEN"]}
    check = {check.name: check for check in examine(here if named else None, env)}["gateway"]
    assert check.ok is named
    assert named or "Your token was not sent" in check.message


def test_on_a_machine_with_only_the_client(
    gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCIGATE_CONFIG", raising=False)
    checks = {check.name: check for check in examine(None, gateway_process.environment())}
    assert "only a client" in checks["settings"].message
    assert checks["gateway"].ok
    assert "database" not in checks


def test_file_systems_are_told_by_their_mount() -> None:
    assert filesystem(Path("/proc/self/status")) == "proc"
    assert filesystem(Path("/proc/self/not-there/at/all")) == "proc"
    assert filesystem(Path("/tmp/x")) not in NETWORK


def test_the_master_key_is_looked_at(doctor: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k" * 64)
    assert "makes it" in doctor()["key"].message
    key = tmp_path / "state" / "secret.key"
    key.parent.mkdir(mode=0o700)
    key.write_text("k" * 64)
    key.chmod(0o640)
    checks = doctor()
    assert wrong(checks) == {"key"}
    assert f"chmod 600 {key}" in checks["key"].message
    key.chmod(0o600)
    assert doctor()["key"].ok
    key.write_text("short")
    assert wrong(doctor()) == {"key"}
    assert "in the settings" in doctor(gateway='secret_key = { env = "KEY" }')["key"].message
