"""What is sent from the server's files and fetched to them goes on after the server was stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.extension.home_jobs import Job, Jobs
from scigate.extension.home_records import Kind, Promise, Records
from scigate.extension.home_view import as_transfer
from scigate.extension.problem import Refusal
from scigate.gateway_api.client import Gateway, GatewayError, GatewayUnreachable, LocalFileError, Transfer

from .conftest import TOKEN

BIG = bytes(range(256)) * 4096 * 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def open_jobs(service: Any, tmp_path: Path, root: Path) -> Iterator[Callable[[], Jobs]]:
    """Each call is the next start of the server."""
    opened: list[Jobs] = []

    def connect() -> Gateway:
        return Gateway(service.url, TOKEN)

    def start() -> Jobs:
        opened.append(Jobs(Records(tmp_path / "jobs"), root, connect))
        opened[-1].resume()
        return opened[-1]

    yield start
    for jobs in opened:
        jobs.stop()


def promise(kind: Kind, *files: tuple[str, str], overwrite: str = "fail", key: str | None = None) -> Promise:
    return Promise(kind, list(files), overwrite, "label", key, time.time())


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def stopped(name: str, others: Iterable[threading.Thread] = ()) -> bool:
    """Whether no thread of this name runs but ``others``: of tests that share this process."""
    return not any(thread.name.startswith(name) for thread in set(threading.enumerate()) - set(others))


def test_sending_goes_on_at_the_next_start(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    (root / "big").write_bytes(BIG)
    first = open_jobs()
    job = Job(promise("send", (str(root / "big"), "lab:/sent/big")))
    job.begun.add_done_callback(lambda _: job.stop.set())  # at once: not all bytes have been sent
    first._records.save(job.promise)
    first._begin(job)
    transfer = job.begun.result(120)
    until(lambda: stopped(job.promise.id))
    with Gateway(service.url, TOKEN) as gateway:
        assert not gateway.transfer(transfer).state.is_final
        again = open_jobs().all[job.promise.id]
        assert again.promise.transfer == transfer
        until(lambda: again.is_over)
        assert gateway.transfer(transfer).wait(120, progress=False).files.done == 1
        assert len(list(gateway.transfers())) == 1
    assert (service.lab / "sent" / "big").read_bytes() == BIG


def test_fetching_goes_on_at_the_next_start(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    (service.lab / "run").mkdir()
    for name in ("a", "b", "c"):
        (service.lab / "run" / name).write_bytes(name.encode() * 3_000_000)
    first = open_jobs()
    job = Job(promise("fetch", ("lab:/run/", "home:/got/")))
    moved = job.progress.moved

    def slowly(count: int) -> None:
        moved(count)
        if job.progress.bytes_done > 5_000_000:
            job.stop.set()

    job.progress.moved = slowly  # type: ignore[method-assign]
    first._records.save(job.promise)
    others = threading.enumerate()
    first._begin(job)
    until(lambda: stopped(job.promise.id))
    assert not job.is_over
    until(lambda: stopped("scigate-client", others))  # they end with their next piece
    again = open_jobs().all[job.promise.id]
    until(lambda: again.is_over)
    assert (again.promise.state, again.progress.arrived) == ("DONE", (3, 3, 9_000_000, 9_000_000))
    assert sorted(path.name for path in (root / "got").iterdir()) == ["a", "b", "c"]
    shown = as_transfer(open_jobs().all[job.promise.id].promise, again.progress, "ada")
    assert Transfer.model_validate(shown).files.done == 3


def test_what_is_cancelled_leaves_nothing_half(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    (service.lab / "big").write_bytes(BIG)
    jobs = open_jobs()
    job = Job(promise("fetch", ("lab:/big", "home:/big")))
    moved = job.progress.moved

    def cancelling(count: int) -> None:
        moved(count)
        jobs.cancel(job)

    job.progress.moved = cancelling  # type: ignore[method-assign]
    jobs._records.save(job.promise)
    jobs._begin(job)
    until(lambda: stopped(job.promise.id))
    assert job.promise.state == "CANCELLED"
    until(lambda: not list(root.iterdir()))


def test_what_failed_can_be_tried_again(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    (service.lab / "f").write_text("new")
    (root / "f").write_text("old")
    jobs = open_jobs()
    job = jobs.accept(promise("fetch", ("lab:/f", "home:/f")))
    until(lambda: job.is_over)
    assert (job.promise.state, job.promise.failed) == ("FAILED", 1)
    assert (root / "f").read_text() == "old"
    (root / "f").unlink()
    again = jobs.again(job)
    until(lambda: again.is_over)
    assert (again.promise.state, (root / "f").read_text()) == ("DONE", "new")


def test_the_same_key_is_the_same_transfer(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    (service.lab / "f").write_text("f")
    first = open_jobs().accept(promise("fetch", ("lab:/f", "home:/f"), key="k"))
    until(lambda: first.is_over)
    jobs = open_jobs()
    assert jobs.accept(promise("fetch", ("lab:/f", "home:/f"), key="k")).promise.id == first.promise.id
    with pytest.raises(Refusal, match="another transfer"):
        jobs.accept(promise("fetch", ("lab:/f", "home:/g"), key="k"))


def test_a_gateway_that_is_away_is_waited_for(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    service.stop()
    job = open_jobs().accept(promise("fetch", ("lab:/f", "home:/f")))
    until(lambda: job.promise.cause)
    shown = as_transfer(job.promise, job.progress, "ada")
    assert (shown["state"], shown["cause"]["retriable"]) == ("WAITING", True)
    assert shown["cause"]["next_step"]


def test_what_cannot_be_written_down_is_not_promised(
    service: Any, tmp_path: Path, open_jobs: Callable[[], Jobs]
) -> None:
    jobs = open_jobs()
    (tmp_path / "jobs").write_text("a file where the folder should be")
    with pytest.raises(Refusal) as refused:
        jobs.accept(promise("fetch", ("lab:/f", "home:/f")))
    assert refused.value.status == 507
    assert not jobs.all


def test_what_cannot_be_read_is_refused_and_keeps_nobody_waiting(
    service: Any, root: Path, open_jobs: Callable[[], Jobs]
) -> None:
    jobs = open_jobs()
    job = jobs.accept(promise("send", (str(root / "gone"), "lab:/gone")))
    with pytest.raises(GatewayError, match="no file"):
        job.begun.result(120)
    until(lambda: job.is_over)
    assert job.promise.state == "FAILED"


def test_of_several_the_one_that_cannot_be_read_is_not_done(
    service: Any, root: Path, open_jobs: Callable[[], Jobs]
) -> None:
    (root / "there").write_text("there")
    pairs = [(str(root / name), f"lab:/{name}") for name in ("there", "gone")]
    job = open_jobs().accept(promise("send", *pairs))
    until(lambda: job.is_over)
    assert (job.promise.state, job.promise.failed) == ("FAILED", 1)
    assert "gone" in str(job.promise.cause)


def test_what_was_cancelled_while_the_server_was_away_is_not_sent_again(
    service: Any, root: Path, open_jobs: Callable[[], Jobs]
) -> None:
    (root / "big").write_bytes(BIG)
    jobs = open_jobs()
    job = Job(promise("send", (str(root / "big"), "lab:/big")))
    job.begun.add_done_callback(lambda _: job.stop.set())  # at once: not all bytes have been sent
    jobs._records.save(job.promise)
    jobs._begin(job)
    id = job.begun.result(120)
    until(lambda: stopped(job.promise.id))
    with Gateway(service.url, TOKEN) as gateway:
        gateway.transfer(id).cancel()
        again = open_jobs().all[job.promise.id]
        until(lambda: again.is_over)
        assert again.promise.state == "CANCELLED"
        assert [handle.id for handle in gateway.transfers()] == [id]


def not_there() -> Gateway:
    raise LocalFileError("no")


def test_what_is_accepted_while_the_server_looks_for_what_it_had_begun_is_begun_once(
    tmp_path: Path, root: Path
) -> None:
    begun: list[str] = []

    class Watched(Records):
        def save(self, promise: Promise) -> None:
            super().save(promise)
            if promise.state == "ACTIVE":
                looking = threading.Thread(target=jobs.resume)
                looking.start()
                looking.join(0.2)

    def connect() -> Gateway:
        begun.append("once")
        return not_there()

    jobs = Jobs(Watched(tmp_path / "jobs"), root, connect)
    job = jobs.accept(promise("fetch", ("lab:/f", "home:/f")))
    until(lambda: stopped(job.promise.id))
    assert begun == ["once"]


def test_what_is_forgotten_while_its_end_is_written_down_stays_forgotten(tmp_path: Path, root: Path) -> None:
    """Its key would lead to a transfer that never begins, at the next start of the server."""

    class Watched(Records):
        def save(self, promise: Promise) -> None:
            if promise.state == "FAILED":
                forgetting.start()
                forgetting.join(0.2)
            super().save(promise)

    jobs = Jobs(Watched(tmp_path / "jobs"), root, not_there)
    forgetting = threading.Thread(target=lambda: jobs.forget(job))
    job = Job(promise("send", (str(root / "f"), "lab:/f"), key="k"))
    jobs._begin(job)
    until(lambda: stopped(job.promise.id))
    forgetting.join(120)
    assert not list(jobs._records.load())


def test_what_was_refused_before_the_server_was_killed_is_not_waited_for_by_the_next(
    tmp_path: Path, root: Path
) -> None:
    records = Records(tmp_path / "jobs")
    refused = promise("send", (str(root / "f"), "lab:/f"), key="k")
    refused.state, refused.finished = "FAILED", time.time()
    records.save(refused)
    jobs = Jobs(records, root, not_there)
    jobs.resume()
    again = jobs.accept(promise("send", (str(root / "f"), "lab:/f"), key="k"))
    with pytest.raises(LocalFileError):
        again.begun.result(120)


def test_a_job_that_just_ends_does_not_end_the_one_that_tries_it_again(tmp_path: Path, root: Path) -> None:
    tried_again = threading.Event()
    errors = [LocalFileError("no"), GatewayUnreachable("away")]

    class Slow(threading.Event):
        """Its last look at the sign comes when it has been begun anew."""

        def is_set(self) -> bool:
            if job.promise.state == "FAILED":
                tried_again.wait(120)
            return super().is_set()

    def connect() -> Gateway:
        raise errors.pop(0) if errors[1:] else errors[0]

    jobs = Jobs(Records(tmp_path / "jobs"), root, connect)
    job = Job(promise("fetch", ("lab:/f", "home:/f")))
    job.stop = Slow()
    jobs._begin(job)
    until(lambda: job.is_over)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == job.promise.id)
    again = jobs.again(job)
    tried_again.set()
    thread.join(120)
    until(lambda: again.promise.cause)
    assert again.promise.state == "ACTIVE", "it waits for the gateway"
    again.stop.set()
    until(lambda: stopped(job.promise.id))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unforeseen_error_ends_a_job(tmp_path: Path, root: Path) -> None:
    def connect() -> Gateway:
        raise RuntimeError("a mistake")

    job = Jobs(Records(tmp_path / "jobs"), root, connect).accept(promise("send", ("/f", "lab:/f")))
    with pytest.raises(Refusal, match="mistake"):
        job.begun.result(120)
    until(lambda: job.is_over)
    assert job.promise.state == "FAILED"


def test_no_two_files_are_fetched_to_one_place(service: Any, root: Path, open_jobs: Callable[[], Jobs]) -> None:
    for name in ("a/x", "a/y", "b/x"):
        (service.lab / name).parent.mkdir(exist_ok=True)
        (service.lab / name).write_text(name)
    jobs = open_jobs()
    folder = jobs.accept(promise("fetch", ("lab:/a/", "home:/to"), overwrite="overwrite"))
    until(lambda: folder.is_over)
    assert (root / "to" / "x").read_text() == "a/x"
    assert (root / "to" / "y").read_text() == "a/y"
    for first, second in (("home:/", "home:/"), ("home:/new/x", "home:/new//x")):
        alike = jobs.accept(promise("fetch", ("lab:/a/x", first), ("lab:/b/x", second), overwrite="overwrite"))
        until(lambda job=alike: job.is_over)
        assert alike.promise.state == "FAILED"
        assert "x'" in str(alike.promise.cause)
        assert not (root / "x").exists()
        assert not (root / "new").exists()
