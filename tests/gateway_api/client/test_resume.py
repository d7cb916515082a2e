"""Uploads of the client through bad networks, over crashes on both sides, and of files that change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scigate.gateway_api.client import (
    DataDamaged,
    FileChanged,
    FilesNotSent,
    Gateway,
    GatewayUnreachable,
    LocalFileError,
    TransferCancelled,
    TransferGroup,
    TransferHandle,
    TransferState,
    sending,
)

from .bad_network import BadNetwork, Event, Harm

MB = 500_000
"""Half a megabyte is enough of everything here."""
REQUEST = 4 << 20
PUT = "from scigate.gateway_api.cli import main; main()"


class Stopped(Exception):
    """Raised in the middle of a put, like Ctrl-C."""


def stopping(after: int) -> Callable[[int], None]:
    """A ``sent`` that ends the put when so many bytes have gone."""
    total = 0

    def count(sent: int) -> None:
        nonlocal total
        total += sent
        if total > after:
            raise Stopped

    return count


@contextmanager
def stopped() -> Iterator[None]:
    """A put that ends by ``Stopped``; its threads see that they are to stop, and have ended."""
    before = set(threading.enumerate())
    with pytest.raises(Stopped):
        yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("scigate-client"):
            thread.join(120)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of 20 million bytes, of which no two parts are equal."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(40 * MB))
    return path


@pytest.fixture(autouse=True)
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of 4 MiB, so that a file of this size is several; however slow this machine is."""
    monkeypatch.setattr(sending, "SLOW", float("inf"))
    monkeypatch.setattr(sending, "FIRST", REQUEST)
    monkeypatch.setattr(sending, "LARGEST", REQUEST)


def delivered(put: TransferHandle | TransferGroup) -> None:
    assert isinstance(put, TransferHandle)
    assert put.wait(120, progress=False).state is TransferState.DONE


def uploads_to(gateway: Gateway, destination: str) -> list[str]:
    return [upload.state for upload in gateway.uploads() if upload.destination == destination]


@pytest.mark.parametrize("harm", [Harm.FIN, Harm.RST, Harm.HOLE])
def test_a_cut_connection_costs_one_request_and_no_more(
    abroad: Gateway,
    bad_network: BadNetwork,
    gateway: Gateway,
    gateway_process: Any,
    large: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Harm,
) -> None:
    if harm is Harm.HOLE:
        monkeypatch.setattr(sending, "STALLED", timedelta(seconds=2))
    bad_network.events = [Event(13 * MB, harm), Event(35 * MB, harm)]
    sent: list[int] = []
    broken: list[Exception] = []
    destination = f"lab:/cut-{harm.name}"
    delivered(abroad.put(large, destination, sent=sent.append, broken=broken.append))
    assert bad_network.happened == 2
    assert len(broken) >= 2
    assert all(isinstance(error, GatewayUnreachable) for error in broken)
    assert (gateway_process.files("lab") / f"cut-{harm.name}").read_bytes() == large.read_bytes()
    assert sum(sent) == 40 * MB
    assert min(sent) < 0
    assert bad_network.passed < 40 * MB + len(broken) * REQUEST + MB, "only what was on its way went again"
    assert len(uploads_to(gateway, destination)) == 1


def test_a_network_that_carries_three_megabytes_at_a_time_is_enough(
    abroad: Gateway, bad_network: BadNetwork, gateway_process: Any, tmp_path: Path
) -> None:
    (tmp_path / "far").write_bytes(os.urandom(24 * MB))
    bad_network.every = 6 * MB
    delivered(abroad.put(tmp_path / "far", "lab:/far"))
    assert (gateway_process.files("lab") / "far").read_bytes() == (tmp_path / "far").read_bytes()


def test_a_flipped_bit_is_found_and_that_request_sent_again(
    abroad: Gateway, bad_network: BadNetwork, gateway_process: Any, large: Path
) -> None:
    bad_network.events = [Event(20 * MB, Harm.FLIP)]
    delivered(abroad.put(large, "lab:/flipped"))
    assert bad_network.happened == 1
    assert (gateway_process.files("lab") / "flipped").read_bytes() == large.read_bytes()


def test_bits_that_flip_each_time_are_an_error_and_nothing_is_delivered(
    abroad: Gateway, bad_network: BadNetwork, gateway_process: Any, large: Path
) -> None:
    bad_network.events = [Event(number * 100_000, Harm.FLIP) for number in range(1, 400)]
    with pytest.raises(DataDamaged, match="3 times in a row"):
        abroad.put(large, "lab:/damaged")
    assert not (gateway_process.files("lab") / "damaged").exists()


def test_a_gateway_that_is_killed_and_started_again_is_survived(
    start_gateway: Any, tmp_path: Path, large: Path
) -> None:
    (tmp_path / "gateway").mkdir()
    restarted: list[Any] = []
    with start_gateway(tmp_path / "gateway") as first:
        port = int(first.url.rpartition(":")[2])
        total = 0

        def sent(count: int) -> None:
            nonlocal total
            total += count
            if total > 20 * MB and not restarted:
                first.process.kill()
                first.process.wait()
                restarted.append(start_gateway(tmp_path / "gateway", port=port))
                restarted[0].__enter__()

        try:
            with Gateway(first.url, first.environment()["SCIGATE_TOKEN"]) as gateway:
                delivered(gateway.put(large, "lab:/killed", sent=sent))
        finally:
            restarted[0].__exit__(None, None, None)
        assert total == 40 * MB
        assert (first.files("lab") / "killed").read_bytes() == large.read_bytes()


def test_a_killed_client_goes_on_when_the_same_command_is_given_again(
    bad_network: BadNetwork, gateway_process: Any, gateway: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "reboot"
    path.write_bytes(os.urandom(100 * MB))
    stuck = threading.Event()
    bad_network.events, bad_network.then = [Event(60 * MB, Harm.HOLE)], stuck.set
    environment = gateway_process.environment() | {"SCIGATE_URL": bad_network.url, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", PUT, "put", str(path), "lab:/rebooted/"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    assert stuck.wait(240)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert second.returncode == 0, second.stderr
    assert "Resumed at " in second.stderr
    assert "Resumed at 0 %" not in second.stderr
    assert (gateway_process.files("lab") / "rebooted/reboot").read_bytes() == path.read_bytes()
    assert len(uploads_to(gateway, "lab:/rebooted/reboot")) == 1
    assert list((tmp_path / ".local/state/scigate/uploads").iterdir()) == []


def test_what_is_under_way_is_noted_for_its_user_alone_and_without_a_token(
    gateway: Gateway, gateway_process: Any, large: Path, state_home: Path
) -> None:
    with pytest.raises(Stopped):
        gateway.put(large, "lab:/noted", sent=stopping(20 * MB))
    (record,) = (state_home / "scigate/uploads").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert gateway_process.environment()["SCIGATE_TOKEN"] not in record.read_text()
    resumed: list[int] = []
    delivered(gateway.put(large, "lab:/noted", resumed=resumed.append))
    assert sum(resumed) >= REQUEST
    assert not record.exists()


def test_another_destination_policy_or_file_begins_anew(gateway: Gateway, large: Path) -> None:
    with pytest.raises(Stopped):
        gateway.put(large, "lab:/anew", sent=stopping(20 * MB))
    resumed: list[int] = []
    delivered(gateway.put(large, "lab:/anew-elsewhere", resumed=resumed.append))
    delivered(gateway.put(large, "lab:/anew-policy", overwrite="overwrite", resumed=resumed.append))
    assert resumed == []
    large.write_bytes(os.urandom(40 * MB))
    delivered(gateway.put(large, "lab:/anew", resumed=resumed.append))
    assert resumed == []
    assert "CANCELLED" in uploads_to(gateway, "lab:/anew"), "the upload of the file as it was is ended"


def rewrite(path: Path) -> None:
    """Other bytes, as many, and the time of change set back: what rsync --inplace --times does."""
    before = path.stat()
    path.write_bytes(os.urandom(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_only_looks_the_same_is_sent_anew(gateway: Gateway, gateway_process: Any, large: Path) -> None:
    with pytest.raises(Stopped):
        gateway.put(large, "lab:/alike", sent=stopping(20 * MB))
    large.chmod(0o600)  # touches it too, but not its bytes
    resumed: list[int] = []
    with pytest.raises(Stopped):
        gateway.put(large, "lab:/alike", sent=stopping(30 * MB), resumed=resumed.append)
    assert sum(resumed) >= REQUEST
    rewrite(large)
    resumed, sent = [], []
    delivered(gateway.put(large, "lab:/alike", sent=sent.append, resumed=resumed.append))
    assert (resumed, sum(sent)) == ([], 40 * MB)
    assert (gateway_process.files("lab") / "alike").read_bytes() == large.read_bytes()


def test_a_file_of_a_folder_that_only_looks_the_same_is_not_taken_for_sent(
    gateway: Gateway, gateway_process: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / name).write_bytes(os.urandom(2 * REQUEST))
    with stopped():
        gateway.put(folder, "lab:/alike-folder", overwrite="overwrite", sent=stopping(3 * REQUEST))
    end = time.monotonic() + 120
    while any("RECEIVED" in uploads_to(gateway, f"lab:/alike-folder/{name}") for name in ("first", "second")):
        assert time.monotonic() < end, "what has arrived whole is delivered, as it was, before what comes now"
        time.sleep(0.05)
    for name in ("first", "second"):
        rewrite(folder / name)
    gateway.put(folder, "lab:/alike-folder", overwrite="overwrite").wait(120, progress=False)
    assert tree(gateway_process.files("lab") / "alike-folder") == tree(folder)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_a_file_that_changes_meanwhile_is_never_delivered(
    gateway: Gateway, gateway_process: Any, large: Path, state_home: Path, change: str
) -> None:
    total = 0

    def sent(count: int) -> None:
        nonlocal total
        total += count
        if total > 30 * MB:
            with large.open("r+b") as file:
                if change == "shrinks":
                    file.truncate(35 * MB)
                else:
                    file.seek(0, os.SEEK_END if change == "grows" else os.SEEK_SET)
                    file.write(b"more")

    destination = f"lab:/changing-{change.replace(' ', '-')}"
    with pytest.raises(FileChanged, match="was changed while it was being sent"):
        gateway.put(large, destination, sent=sent)
    assert uploads_to(gateway, destination) == ["CANCELLED"]
    assert not (gateway_process.files("lab") / destination.partition("/")[2]).exists()
    assert list((state_home / "scigate/uploads").iterdir()) == []


def test_two_at_once_do_not_send_the_same(gateway: Gateway, large: Path) -> None:
    refused: list[str] = []

    def sent(count: int) -> None:
        if not refused:
            with pytest.raises(LocalFileError) as raised:
                gateway.put(large, "lab:/twice")
            refused.append(raised.value.message)

    delivered(gateway.put(large, "lab:/twice", sent=sent))
    assert "is being sent" in refused[0]


def test_an_upload_that_is_cancelled_meanwhile_ends_cancelled(gateway: Gateway, large: Path) -> None:
    cancelled: list[str] = []

    def sent(count: int) -> None:
        if not cancelled:
            (id,) = [upload.id for upload in gateway.uploads() if upload.destination == "lab:/cancelled"]
            gateway.cancel_upload(id)
            cancelled.append(id)

    put = gateway.put(large, "lab:/cancelled", sent=sent)
    with pytest.raises(TransferCancelled):
        put.wait(120, progress=False)
    assert gateway.upload(cancelled[0]).state == "CANCELLED"


def test_a_gateway_that_stays_away_is_an_error_after_the_patience(
    bad_network: BadNetwork, gateway_process: Any, large: Path
) -> None:
    bad_network.events, bad_network.then = [Event(20 * MB, Harm.RST)], bad_network.close
    begun = time.monotonic()
    with (
        Gateway(
            bad_network.url, gateway_process.environment()["SCIGATE_TOKEN"], upload_patience=timedelta(seconds=1)
        ) as client,
        pytest.raises(GatewayUnreachable, match="NOT sent whole") as raised,
    ):
        client.put(large, "lab:/away")
    assert "what has arrived is kept" in raised.value.next_step
    assert time.monotonic() - begun < 240


def test_a_full_staging_quota_is_waited_for(start_gateway: Any, tmp_path: Path, large: Path) -> None:
    (tmp_path / "second").write_bytes(os.urandom(20 * MB))
    (tmp_path / "gateway").mkdir()
    with start_gateway(tmp_path / "gateway", '\n[limits]\nstaging_quota = "20 MiB"\n') as running:
        with Gateway(running.url, running.environment()["SCIGATE_TOKEN"]) as gateway:
            with pytest.raises(Stopped):
                gateway.put(large, "mem:/first", sent=stopping(33 * MB))
            (first,) = gateway.uploads()
            waiting = threading.Thread(target=lambda: delivered(gateway.put(tmp_path / "second", "lab:/second")))
            waiting.start()
            waiting.join(3)
            assert waiting.is_alive(), "there is no room for it yet"
            assert not (running.files("lab") / "second").exists()
            gateway.cancel_upload(first.id)
            waiting.join(240)
        assert (running.files("lab") / "second").read_bytes() == (tmp_path / "second").read_bytes()


# Folders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Small files, an empty one, an odd name, and one of ten million bytes."""
    root = tmp_path / "run"
    for name, size in {"a": 1000, "x/b": 0, "x/y/odd \udcff": 5, "big": 20 * MB, "z/last": 300_000}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.urandom(size))
    yield root


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_folder_is_one_transfer_and_keeps_its_tree(gateway: Gateway, gateway_process: Any, folder: Path) -> None:
    sent: list[int] = []
    group = gateway.put(folder, "lab:/folder/", sent=sent.append)
    assert isinstance(group, TransferGroup)
    (ended,) = group.wait(120, progress=False)
    assert (ended.files.done, ended.files.total, ended.label) == (5, 5, "run")
    assert tree(gateway_process.files("lab") / "folder") == tree(folder)
    assert sum(sent) == sum(map(len, tree(folder).values()))


def test_a_folder_goes_on_where_it_was_stopped(gateway: Gateway, gateway_process: Any, folder: Path) -> None:
    with stopped():
        gateway.put(folder, "lab:/resumed-folder", sent=stopping(12 * MB))
    (folder / "later").write_bytes(b"later")
    (folder / "a").write_bytes(b"changed since")
    resumed: list[int] = []
    group = gateway.put(folder, "lab:/resumed-folder", overwrite="fail", resumed=resumed.append)
    assert isinstance(group, TransferGroup)
    assert sum(resumed) >= REQUEST
    for handle in group:
        handle._watch(lambda seen: None, time.monotonic() + 120)
    stored = tree(gateway_process.files("lab") / "resumed-folder")
    assert {name: data for name, data in stored.items() if name != "a"} == {
        name: data for name, data in tree(folder).items() if name != "a"
    }


def test_a_file_of_a_folder_that_changes_is_named_and_the_others_arrive(
    gateway: Gateway, gateway_process: Any, folder: Path
) -> None:
    total = 0

    def sent(count: int) -> None:
        nonlocal total
        total += count
        if total > 15 * MB:
            os.utime(folder / "big")

    group = gateway.put(folder, "lab:/half-folder", sent=sent)
    assert isinstance(group, TransferGroup)
    with pytest.raises(FilesNotSent, match="big"):
        group.wait(120, progress=False)
    stored = tree(gateway_process.files("lab") / "half-folder")
    assert stored == {name: data for name, data in tree(folder).items() if name != "big"}


def test_a_folder_of_more_files_than_a_manifest_holds_is_several_transfers(
    gateway: Gateway, gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.gateway_api.client.folders.MANIFEST", 3)
    (tmp_path / "many").mkdir()
    for number in range(7):
        (tmp_path / "many" / str(number)).write_bytes(bytes([number]))
    group = gateway.put(tmp_path / "many", "lab:/several-manifests")
    assert isinstance(group, TransferGroup)
    assert [transfer.files.done for transfer in group.wait(120, progress=False)] == [3, 3, 1]
    assert tree(gateway_process.files("lab") / "several-manifests") == tree(tmp_path / "many")
