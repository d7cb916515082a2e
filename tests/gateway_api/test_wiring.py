"""A gateway that cannot start says why; one that starts goes on with what it had."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from scigate.gateway_api import state_folder
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.settings_errors import SettingsError
from scigate.gateway_api.wiring import _listen_step, build

TOKEN = "x" * 32


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)


@pytest.mark.parametrize("there", ["", "lost+found", "jobs", "home-of-a-server", "staging"])
def test_a_state_folder_that_others_could_read_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, there: str
) -> None:
    """A new one, a volume of its own, one that the Jupyter Server extension has used, and one of ours."""
    (tmp_path / "state" / there).mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    service = build(settings(tmp_path))
    service.start()
    service.stop()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert "0755" in caplog.text


def test_a_folder_that_is_for_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    """Such as /var/lib, which nobody else could use any more."""
    (tmp_path / "state" / "others").mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    with pytest.raises(SettingsError, match=r"holds other things .* own, such as .*state/scigate\."):
        build(settings(tmp_path))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["others"]
    (tmp_path / "state").chmod(0o700)  # who has one that is private already may well keep more in it
    service = build(settings(tmp_path))
    service.start()
    service.stop()


def settings(folder: Path, more: str = "", port: int = 0) -> Settings:
    (folder / "lab").mkdir(exist_ok=True)
    return Settings.parse(
        f"""
[gateway]
port = {port}
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[users.ada]
token = {{ env = "TOKEN" }}
{more}
"""
    )


def test_the_state_is_private(tmp_path: Path) -> None:
    service = build(settings(tmp_path))
    service.start()
    service.stop()
    for folder in ("state", "state/staging"):
        assert oct((tmp_path / folder).stat().st_mode & 0o777) == "0o700"


def test_two_gateways_do_not_share_a_state_folder(tmp_path: Path) -> None:
    service = build(settings(tmp_path))
    service.start()
    with pytest.raises(SettingsError, match="another gateway is running"):
        build(settings(tmp_path))
    service.stop()
    again = build(settings(tmp_path))
    again.start()
    again.stop()


def test_who_only_looks_at_the_lock_keeps_no_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Jupyter Server does, to see whether somebody hosts a gateway already: it has the lock for a moment."""
    looking = os.open(tmp_path / state_folder.LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_EX)
    threading.Timer(0.05, os.close, [looking]).start()
    with monkeypatch.context() as patience:
        patience.setattr(state_folder, "LOOK", 120.0)
        claim = state_folder.claim(tmp_path)
    assert claim is not None, "another gateway is running"
    assert state_folder.claim(tmp_path) is None
    os.close(claim)


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = build(settings(tmp_path, port=port))
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} cannot be listened on: .*in use"):
            service.start()
    again = build(settings(tmp_path))
    again.start()
    again.stop()


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SettingsError, match="cannot be made"):
        build(settings(tmp_path))


OF_ANOTHER_USER = """
import sys
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.settings_errors import SettingsError
from scigate.gateway_api.wiring import build
try:
    build(Settings.parse(sys.argv[1]))
except SettingsError as error:
    print(error)
"""


def test_a_state_folder_that_somebody_else_has_used_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Such as one where root has once run the gateway."""
    (tmp_path / "lock").touch(mode=0o000)
    text = f'[gateway]\nport = 0\nstate_dir = "{tmp_path}"\n[storages.lab]\ntype = "posix"\nroot = "{tmp_path}"'
    # Root may read and write everything, unless that is taken away.
    humble = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*humble, sys.executable, "-c", OF_ANOTHER_USER, text]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"the folder {tmp_path} cannot be used: Permission denied. Give {tmp_path / 'lock'}, and all else" in said


@pytest.mark.parametrize(
    ("number", "step"), [(errno.EACCES, "are for root: set another one"), (errno.EADDRINUSE, "Stop who has it")]
)
def test_why_an_address_cannot_be_had_decides_what_to_do(number: int, step: str) -> None:
    assert step in _listen_step(OSError(number, "said by the kernel"))


def test_a_database_that_fails_while_the_gateway_starts_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    service = build(settings(tmp_path))
    database = tmp_path / "state" / "scigate.db"
    database.rename(tmp_path / "aside")
    with pytest.raises(SettingsError, match=r"database.url: .*scigate.db was removed.*\. .*start the gateway again\."):
        service.start()
    (tmp_path / "aside").rename(database)
    again = build(settings(tmp_path))  # nothing is held any more
    again.start()
    again.stop()


def test_a_database_that_fails_just_before_the_gateway_listens_ends_the_start_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is then opened once more, in the thread of the server, for which the start waits."""
    service = build(settings(tmp_path))
    database = tmp_path / "state" / "scigate.db"

    def spoil() -> None:
        database.rename(tmp_path / "aside")
        database.mkdir()

    monkeypatch.setattr(service._hub, "start", spoil)
    with ThreadPoolExecutor(1) as starter:
        started = starter.submit(service.start)
        with pytest.raises(SettingsError, match=r"database.url: the database cannot be read: .*start the gateway aga"):
            started.result(60)
    database.rmdir()
    (tmp_path / "aside").rename(database)
    again = build(settings(tmp_path))
    again.start()
    again.stop()


def test_who_corrects_what_was_wrong_may_start_again_in_the_same_process(tmp_path: Path) -> None:
    """As in a Jupyter Server: its page says to try again."""
    service = build(settings(tmp_path))
    service.start()
    service.stop()
    key = tmp_path / "state" / "secret.key"
    key.chmod(0o644)
    with pytest.raises(SettingsError, match="others can read it"):
        build(settings(tmp_path))
    key.chmod(0o600)
    again = build(settings(tmp_path))
    again.start()
    again.stop()


def test_a_state_folder_that_cannot_be_written_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (blocked := tmp_path / "state" / "gateway-id.new").mkdir()
    with pytest.raises(SettingsError, match=r"gateway.state_dir: .*state cannot be used: Is a directory\. "):
        build(settings(tmp_path))
    blocked.rmdir()
    again = build(settings(tmp_path))
    again.start()
    again.stop()


def test_a_database_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", f"postgresql+psycopg://a:canary@127.0.0.1:{free_port}/b")
    with pytest.raises(SettingsError) as raised:
        build(settings(tmp_path, '[database]\nurl = { env = "DATABASE" }'))
    assert "database.url: the database cannot be opened" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_restart_delivers_what_was_staged(tmp_path: Path) -> None:
    first = build(settings(tmp_path))
    first.start()
    first._engine._stopping.set()  # accepts, but moves nothing any more, when the round that may run is over
    first._engine.look()
    first._engine._dispatcher.join(120)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.put(f"{first.url}/api/v1/files/lab/file", content=b"data", headers=headers, timeout=60)
    assert answer.status_code == 202
    assert not (tmp_path / "lab" / "file").exists()
    first.stop()
    second = build(settings(tmp_path))
    second.start()
    try:
        with httpx.Client(base_url=second.url, headers=headers, timeout=60) as client:
            while not client.get(answer.headers["Location"]).json()["finished"]:
                pass
            assert (tmp_path / "lab" / "file").read_bytes() == b"data"
            assert len(list((tmp_path / "state" / "staging").iterdir())) == 1
            second.gateway.uploads.sweep()
            assert list((tmp_path / "state" / "staging").iterdir()) == []
    finally:
        second.stop()


def test_a_page_is_no_longer_than_the_settings_say(tmp_path: Path) -> None:
    service = build(settings(tmp_path, "[limits]\npage_max = 3"))
    for number in range(5):
        (tmp_path / "lab" / str(number)).touch()
    service.start()
    try:
        answer = httpx.get(f"{service.url}/api/v1/files/lab/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
        assert (len(answer.json()["items"]), answer.json()["next"]) == (3, "2")
    finally:
        service.stop()


def test_a_request_that_runs_when_the_gateway_stops_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.http.server.DRAIN", 120.0)
    service = build(settings(tmp_path))
    service.start()
    begun, look_at = threading.Event(), service.gateway.look_at

    def slowly(*arguments: str, **more: str) -> object:
        begun.set()
        time.sleep(0.5)
        return look_at(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(service.gateway, "look_at", slowly)
    (tmp_path / "lab" / "file").touch()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{service.url}/api/v1/files/lab/file?meta=1", headers=headers, timeout=120)
        assert begun.wait(60)
        service.stop()
        assert answer.result().json()["name"] == "file"


def test_paths_of_the_public_url_stand_in_locations(tmp_path: Path) -> None:
    found = settings(tmp_path).model_copy(
        update={
            "gateway": settings(tmp_path).gateway.model_copy(update={"public_url": "https://hub.example/services/sg"})
        }
    )
    service = build(found)
    service.start()
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "hub.example"}
        for path in ("/api/v1/files/lab/file", "/services/sg/api/v1/files/lab/file"):
            answer = httpx.put(
                service.url + path, content=b"x", headers=headers, params={"overwrite": "overwrite"}, timeout=60
            )
            assert answer.headers["Location"].startswith("/services/sg/api/v1/transfers/")
        assert httpx.get(service.url + answer.headers["Location"], headers=headers, timeout=60).status_code == 200
    finally:
        service.stop()


def test_what_comes_from_outside_is_counted(tmp_path: Path) -> None:
    class Files(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"science")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        allowed = f'roles = ["admin"]\n[egress]\nallow = ["127.0.0.1:{server.server_port}"]'
        service = build(settings(tmp_path, allowed))
        service.start()
        try:
            source = f"http://127.0.0.1:{server.server_port}/data"
            ask = {"files": [{"source": source, "destination": "lab:/data"}]}
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = httpx.post(f"{service.url}/api/v1/transfers", json=ask, headers=headers, timeout=60)
            until = time.monotonic() + 60
            while not httpx.get(service.url + answer.headers["Location"], headers=headers, timeout=60).json()[
                "finished"
            ]:
                assert time.monotonic() < until
            told = httpx.get(f"{service.url}/metrics", headers=headers, timeout=60).text
        finally:
            service.stop()
            server.shutdown()
    assert (tmp_path / "lab" / "data").read_bytes() == b"science"
    assert 'scigate_storage_bytes{operation="read",storage="outside"} 7.0' in told


SIGNALLED = """
import signal, sys
from scigate.gateway_api import wiring

class Service:
    def start(self): pass
    def stop(self): pass

def serve(moment):
    steps = 0
    def trace(frame, event, _):
        nonlocal steps
        steps += 1
        if steps == moment:
            signal.raise_signal(signal.SIGTERM)
        return trace
    wiring.serve(None, lambda service: sys.settrace(trace))
    sys.settrace(None)

wiring.build, wiring.HEARD_WITHIN = lambda settings, registry: Service(), 0.001
for moment in range(1, 50):
    serve(moment)
print("heard")
"""


def test_a_signal_is_heard_whatever_the_main_thread_is_about(tmp_path: Path) -> None:
    """Its handler runs between any two lines of that, and must want no lock that these hold."""
    ran = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=240, check=False)
    assert ran.stdout == "heard\n", ran.stderr
