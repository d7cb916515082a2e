"""The client against a real gateway."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import (
    AccessRefused,
    Conflict,
    FilesNotSent,
    Gateway,
    GatewayUnreachable,
    InvalidLocation,
    LocalFileError,
    NotFound,
    RequestInvalid,
    TransferCancelled,
    TransferFailed,
    TransferGroup,
    TransferHandle,
    TransferState,
    WaitTimeout,
)

ODD = "odd \udcff ü%2F#?&+\t[b]"


@pytest.fixture
def web(tmp_path: Path, gateway_process: Any) -> Iterator[str]:
    """The URL of a real HTTP server of a folder that holds ``data.bin``, 100,000 bytes."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "data.bin").write_bytes(b"w" * 100_000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", gateway_process.web_port), lambda *a: Quiet(*a, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def put(gateway: Gateway, local: Path, destination: str, **options: Any) -> TransferHandle:
    handle = gateway.put(local, destination, **options)
    assert isinstance(handle, TransferHandle)
    return handle


def test_put_delivers_the_bytes_and_proves_it(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    (tmp_path / "a.bin").write_bytes(data)
    sent: list[int] = []
    ended = put(gateway, tmp_path / "a.bin", "lab:/put/", sent=sent.append).wait(120, progress=False)
    assert (gateway_process.files("lab") / "put/a.bin").read_bytes() == data
    assert (ended.state, ended.files.done, ended.bytes_done) == (TransferState.DONE, 1, len(data))
    assert sum(sent) == len(data)
    assert ended.proof is not None


def test_put_of_an_empty_file_and_of_an_odd_name(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    (tmp_path / ODD).write_bytes(b"")
    put(gateway, tmp_path / ODD, "lab:/odd/").wait(120, progress=False)
    assert (gateway_process.files("lab") / "odd" / ODD).read_bytes() == b""
    assert [entry.name for entry in gateway.ls("lab:/odd/")] == [ODD]
    got = gateway.get(f"lab:/odd/{ODD}", f"{tmp_path}/back/")
    assert got.path.name == ODD
    assert got.path.read_bytes() == b""
    gateway.delete(f"lab:/odd/{ODD}")
    assert list(gateway.ls("lab:/odd/")) == []


def test_put_of_a_folder_keeps_its_tree_and_names_what_is_refused(
    gateway: Gateway, gateway_process: Any, tmp_path: Path
) -> None:
    names = ["1", "x/2", "x/y/3", "x/y/4", "z/5", "z/6"]
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(name)
    (tmp_path / "run/link").symlink_to("1")
    group = gateway.put(tmp_path / "run", "lab:/tree")
    assert isinstance(group, TransferGroup)
    with pytest.raises(FilesNotSent, match="link"):
        group.wait(120, progress=False)
    root = gateway_process.files("lab") / "tree"
    assert {name: (root / name).read_text() for name in names} == {name: name for name in names}
    assert not (root / "link").exists()


def test_put_of_a_missing_file_says_so(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="no file"):
        gateway.put(tmp_path / "missing", "lab:/x/")


def test_an_existing_destination_is_kept_unless_asked_otherwise(
    gateway: Gateway, gateway_process: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    for content in ("old", "new"):
        path.write_text(content)
        try:
            put(gateway, path, "lab:/exists/").wait(120, progress=False)
        except TransferFailed as error:
            assert "exist" in str(error)
            assert error.files[0].cause is not None
            assert error.next_step
        else:
            assert content == "old"
    assert (gateway_process.files("lab") / "exists/a").read_text() == "old"
    put(gateway, path, "lab:/exists/", overwrite="overwrite").wait(120, progress=False)
    assert (gateway_process.files("lab") / "exists/a").read_text() == "new"


def test_a_large_file_is_not_sent_to_be_refused(gateway: Gateway, gateway_process: Any, tmp_path: Path) -> None:
    (gateway_process.files("lab") / "large").write_text("old")
    (tmp_path / "large").write_bytes(bytes(9 << 20))
    sent: list[int] = []
    with pytest.raises(Conflict, match="exists already"):
        gateway.put(tmp_path / "large", "lab:/", sent=sent.append)
    assert sent == []


def test_pull_fetches_a_url(gateway: Gateway, gateway_process: Any, web: str) -> None:
    ended = gateway.pull(f"{web}/data.bin", "lab:/pulled/").wait(120, progress=False)
    assert ended.state is TransferState.DONE
    assert (gateway_process.files("lab") / "pulled/data.bin").read_bytes() == b"w" * 100_000


def test_copy_of_a_folder_between_storages(gateway: Gateway, gateway_process: Any) -> None:
    source = gateway_process.files("lab") / "copied/deep"
    source.mkdir(parents=True)
    (source / "1").write_text("one")
    (source.parent / "2").write_text("two")
    ended = gateway.copy("lab:/copied/", "archive:/from-lab/", label="a label").wait(120, progress=False)
    target = gateway_process.files("archive") / "from-lab"
    assert ((target / "deep/1").read_text(), (target / "2").read_text()) == ("one", "two")
    assert (ended.label, ended.files.done) == ("a label", 2)


def test_a_submit_whose_answer_is_lost_is_accepted_once(
    gateway: Gateway, gateway_process: Any, cutting_proxy: Any, through_proxy: Callable[[], Gateway]
) -> None:
    (gateway_process.files("lab") / "once").write_text("1")
    cutting_proxy.lose_answers = 1
    handle = through_proxy().copy("lab:/once", "archive:/once", label="lost answer")
    assert handle.replayed
    assert [h.id for h in gateway.transfers() if h.transfer.label == "lost answer"] == [handle.id]
    assert handle.wait(120, progress=False).state is TransferState.DONE


def test_an_upload_whose_answer_is_lost_is_accepted_once(
    gateway: Gateway, cutting_proxy: Any, through_proxy: Callable[[], Gateway], tmp_path: Path
) -> None:
    (tmp_path / "up").write_bytes(b"u" * 100_000)
    cutting_proxy.lose_answers = 1
    handle = put(through_proxy(), tmp_path / "up", "lab:/uploaded-once")
    assert handle.replayed
    assert handle.wait(120, progress=False).state is TransferState.DONE


def test_an_upload_that_breaks_off_says_that_the_file_was_not_sent(tmp_path: Path) -> None:
    (tmp_path / "lost").write_bytes(bytes(30_000_000))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=cut, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (
            Gateway(url, "token", patience=timedelta(seconds=0.2)) as client,
            pytest.raises(GatewayUnreachable, match="lost' was NOT sent") as raised,
        ):
            client.put(tmp_path / "lost", "lab:/x", overwrite="overwrite")
        server.shutdown(socket.SHUT_RDWR)
    assert "Send it again" in raised.value.next_step


def test_the_failure_of_a_transfer_says_why_and_what_to_do(gateway: Gateway) -> None:
    with pytest.raises(TransferFailed) as raised:
        gateway.copy("lab:/is-not-there", "archive:/x").wait(120, progress=False)
    assert "lab:/is-not-there → archive:/x" in raised.value.message
    assert raised.value.next_step
    assert raised.value.transfer.state is TransferState.FAILED


def test_pause_resume_cancel_and_waiting_in_vain(gateway: Gateway, slow_url: str) -> None:
    handle = gateway.pull(slow_url, "lab:/slow")
    assert not handle.pause().state.is_final
    with pytest.raises(WaitTimeout, match=handle.id):
        handle.wait(0.2, progress=False)
    handle.resume()
    handle.cancel()
    with pytest.raises(TransferCancelled):
        handle.wait(120, progress=False)
    assert "scigate.transfer.cancel-asked" in [event.type for event in handle.events()]
    with pytest.raises(Conflict) as raised:
        handle.resume()
    assert raised.value.next_step


def test_progress_is_given_to_a_callable_and_events_and_files_are_read(gateway: Gateway, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "watched").write_bytes(b"1" * 1000)
    seen: list[TransferState] = []
    handle = gateway.copy("lab:/watched", "archive:/watched")
    handle.wait(120, progress=lambda transfer: seen.append(transfer.state))
    assert seen[-1] is TransferState.DONE
    (file,) = handle.files()
    assert (file.source, file.destination, file.size) == ("lab:/watched", "archive:/watched", 1000)
    types = [event.type for event in handle.events()]
    assert types[0] == "scigate.transfer.submitted"
    assert types[-1] == "scigate.transfer.done"


def test_a_handle_shows_itself_and_nothing_of_a_label_is_markup(gateway: Gateway, gateway_process: Any) -> None:
    (gateway_process.files("lab") / "shown").write_bytes(b"1")
    handle = gateway.copy("lab:/shown", "archive:/shown", label="<script>alert(1)</script>")
    handle.wait(120, progress=False)
    assert "<script>" not in handle._repr_html_()
    assert "&lt;script&gt;" in handle._repr_html_()
    assert handle.id in repr(handle)
    assert gateway.transfer(handle.id).state is TransferState.DONE


def test_a_long_folder_is_listed_whole_in_pages(gateway: Gateway, gateway_process: Any) -> None:
    folder = gateway_process.files("lab") / "many"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number:03}").write_bytes(b"x" * number)
    found = list(gateway.ls("lab:/many", page_size=100))
    assert sorted(entry.name for entry in found) == [f"{number:03}" for number in range(250)]
    assert {entry.name: entry.size for entry in found}["249"] == 249


def test_stat_mkdir_move_delete(gateway: Gateway, gateway_process: Any) -> None:
    assert gateway.mkdir("lab:/made/deep").kind == "folder"
    (gateway_process.files("lab") / "made/deep/a").write_bytes(b"123")
    assert gateway.stat("lab:/made/deep/a").size == 3
    assert gateway.move("lab:/made/deep/a", "lab:/made/b").location == "lab:/made/b"
    with pytest.raises(NotFound):
        gateway.stat("lab:/made/deep/a")
    gateway.delete("lab:/made/b")
    gateway.delete("lab:/made/deep/")
    assert list(gateway.ls("lab:/made/")) == []


def test_storages_and_status(gateway: Gateway) -> None:
    assert {storage.name for storage in gateway.storages()} == {"lab", "archive", "mem"}
    assert gateway.storage("lab").summary == "A folder"
    assert gateway.status().version


def test_what_belongs_to_others_is_not_found(gateway: Gateway, gateway_process: Any) -> None:
    with pytest.raises(NotFound):
        list(gateway.ls("hidden:/"))
    (gateway_process.files("lab") / "hers").write_bytes(b"1")
    handle = gateway.copy("lab:/hers", "archive:/hers")
    with Gateway(gateway_process.url, gateway_process.environment("bo")["SCIGATE_TOKEN"]) as other:
        with pytest.raises(NotFound):
            other.transfer(handle.id)
        assert handle.id not in [found.id for found in other.transfers()]


def test_a_wrong_token_is_refused_with_a_next_step(gateway_process: Any) -> None:
    with Gateway(gateway_process.url, "wrong" * 10) as gateway, pytest.raises(AccessRefused) as raised:
        gateway.storages()
    assert raised.value.status == 401
    assert "wrongwrong" not in str(raised.value)


@pytest.mark.parametrize("location", ["lab", "lab:x", "/lab/x", "LAB:/x", "lab:/../x", "https://h/x"])
def test_what_is_no_location_is_refused_before_it_is_sent(gateway: Gateway, location: str) -> None:
    with pytest.raises(InvalidLocation):
        gateway.stat(location)


def test_a_request_that_makes_no_sense_points_at_the_field(gateway: Gateway) -> None:
    with pytest.raises(RequestInvalid) as raised:
        gateway.submit([("lab:/a", "archive:/x"), ("lab:/b", "nowhere:/y")])
    assert [error["pointer"] for error in raised.value.errors] == ["/files/1"]


def test_a_gateway_that_is_not_there(free_port: int) -> None:
    gateway = Gateway(f"http://127.0.0.1:{free_port}", "token", patience=timedelta(milliseconds=300))
    with gateway, pytest.raises(GatewayUnreachable, match="does not answer") as raised:
        gateway.storages()
    assert "scigate serve" in raised.value.next_step


def test_waiting_survives_a_restart_of_the_gateway(start_gateway: Any, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    with start_gateway(tmp_path) as first:
        (first.files("lab") / "a").write_bytes(data)
        gateway = Gateway(first.url, first.environment()["SCIGATE_TOKEN"])
        handle = gateway.copy("lab:/a", "archive:/a")
        with contextlib.suppress(Conflict):  # it may be DONE already, but the handle has not heard of it
            handle.pause()
    port = int(first.url.rpartition(":")[2])
    waiting = threading.Thread(target=lambda: handle.wait(progress=False), daemon=True)
    waiting.start()
    with start_gateway(tmp_path, port=port), gateway:
        with contextlib.suppress(Conflict):
            gateway.transfer(handle.id).resume()
        waiting.join(240)
        assert not waiting.is_alive()
        assert handle.state is TransferState.DONE
    digests = [hashlib.sha256((tmp_path / name / "a").read_bytes()).digest() for name in ("lab", "archive")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("year", "kept"), [(2000, "there"), (2100, "local")])
def test_newer_compares_with_the_time_of_the_local_file(
    gateway: Gateway, gateway_process: Any, tmp_path: Path, year: int, kept: str
) -> None:
    there = gateway_process.files("lab") / f"newer-{year}"
    there.write_text("there")
    (tmp_path / "f").write_text("local")  # of the same size
    os.utime(tmp_path / "f", ((year - 1970) * 31_557_600,) * 2)
    put(gateway, tmp_path / "f", f"lab:/{there.name}", overwrite="newer").wait(120, progress=False)
    assert there.read_text() == kept


def test_an_upload_is_known_by_the_name_of_its_file(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("1")
    (tmp_path / ODD).write_text("2")
    assert put(gateway, tmp_path / "mine.csv", "lab:/label/", overwrite="overwrite").transfer.label == "mine.csv"
    own = put(gateway, tmp_path / "mine.csv", "lab:/label/2", label="my own")
    assert own.wait(120, progress=False).label == "my own"
    assert "odd" in (put(gateway, tmp_path / ODD, "lab:/label/").transfer.label or "")
    with pytest.raises(TransferFailed, match=r"upload:2 → lab:/label/2"):
        put(gateway, tmp_path / "mine.csv", "lab:/label/2").wait(120, progress=False)
