"""Transfers as people see and steer them, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scigate.gateway_api.db import paging
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import FileState, Transfer, TransferRequest, TransferState
from scigate.gateway_api.transfers import submission, wishes
from scigate.gateway_api.transfers.store import TransferStore
from scigate.gateway_api.transfers.submission import Submission, fingerprint
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.backend import Backend, Buffer
from scigate.storage_backends.layers import Layer
from sqlalchemy import event

Lab = Any  # from conftest.py


def request(*pairs: tuple[str, str], **options: Any) -> TransferRequest:
    files = [{"source": source, "destination": destination} for source, destination in pairs]
    return TransferRequest.model_validate({"files": files or [{"source": "a:/f", "destination": "b:/f"}], **options})


def read(wanted: TransferRequest) -> Submission:
    free = {"may_read": lambda name: None, "may_write": lambda name: None, "check_url": lambda url: None}
    return submission.read(wanted, **free)


def submit(store: TransferStore, owner: str = "ada", key: str | None = None, **options: Any) -> tuple[str, bool]:
    wanted = request(**options)
    return accepted(store, wanted, owner, key=key, fingerprint=fingerprint(wanted))


def accepted(
    store: TransferStore, wanted: TransferRequest, owner: str = "ada", *, key: str | None = None, fingerprint: str = "f"
) -> tuple[str, bool]:
    answer = store.submit(owner, read(wanted), key=key, fingerprint=fingerprint)
    return answer.transfer.id, answer.replayed


def many(count: int) -> TransferRequest:
    return request(*[(f"a:/f{number}", f"b:/f{number}") for number in range(count)])


@pytest.fixture
def second(any_lab: Lab) -> Iterator[TransferStore]:
    """The store of another gateway on the same database."""
    database = Database(any_lab.database.url.render_as_string(hide_password=False))
    yield TransferStore(database, lambda storage, path: None)
    database.close()


def test_what_was_submitted_is_there(any_lab: Lab) -> None:
    wanted = request(("a:/x", "b:/x"), ("https://example.org/y?key=1", "b:/"), ("a:/run/", "b:/run/"), label="Run 7")
    transfer, replayed = accepted(any_lab.store, wanted)
    found = any_lab.store.get(transfer, "ada")
    assert not replayed
    assert (found.id, found.owner, found.label, found.state) == (transfer, "ada", "Run 7", TransferState.ACTIVE)
    assert (found.files.total, found.files.queued, found.listing) == (2, 2, True)
    files = any_lab.files(transfer)
    assert [file.destination for file in files] == ["b:/x", "b:/y"]
    assert files[1].source == "https://example.org/y?…", "what may be secret is not shown"
    assert [event.type for event in any_lab.store.events(transfer, "ada", after=0, limit=9).items] == [
        "scigate.transfer.submitted"
    ]


def test_a_thousand_submits_with_one_key_make_one_transfer(any_lab: Lab) -> None:
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: submit(any_lab.store, key="k"), range(1000)))
    assert len({transfer for transfer, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert len(any_lab.store.list("ada", state=None, after=None, limit=10).items) == 1


def test_two_gateways_that_get_the_same_key_make_one_transfer(any_lab: Lab, second: TransferStore) -> None:
    stores = [any_lab.store, second]
    for round_ in range(10):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n, r=round_: submit(stores[n % 2], key=f"k{r}"), range(16)))
        assert len({transfer for transfer, _ in answers}) == 1
        assert sum(not replayed for _, replayed in answers) == 1


def test_a_key_belongs_to_one_request_of_one_user(any_lab: Lab) -> None:
    first, _ = submit(any_lab.store, key="k")
    assert submit(any_lab.store, key="k") == (first, True)
    with pytest.raises(Problem) as caught:
        submit(any_lab.store, key="k", priority=9)
    assert (caught.value.status, caught.value.code) == (422, "idempotency-key-reused")
    assert "new key" in caught.value.next_step
    other, replayed = submit(any_lab.store, owner="bo", key="k")
    assert other != first
    assert not replayed
    assert submit(any_lab.store)[0] != submit(any_lab.store)[0], "without a key every submit is a new one"


def test_what_is_foreign_is_not_there(any_lab: Lab) -> None:
    store = any_lab.store
    transfer, _ = submit(store)
    calls = [
        lambda owner, id: store.get(id, owner),
        lambda owner, id: store.files(id, owner, state=None, after=None, limit=1),
        lambda owner, id: store.events(id, owner, after=0, limit=1),
        *(lambda owner, id, wish=wish: store.ask(id, owner, wish) for wish in Wish),
    ]
    for call in calls:
        answers = []
        for id in (transfer, "0" * 32):
            with pytest.raises(Problem) as caught:
                call("bo", id)
            answers.append((caught.value.status, caught.value.title.replace(id, "?")))
        assert answers[0] == answers[1] == (404, "There is no transfer '?'.")
    assert store.list("bo", state=None, after=None, limit=9).items == []
    assert store.get(transfer, None).id == transfer, "an admin sees it"


def test_lists_are_paged_newest_first(any_lab: Lab) -> None:
    ids = [submit(any_lab.store)[0] for _ in range(7)]
    seen: list[Transfer] = []
    after = None
    while True:
        page = any_lab.store.list("ada", state=None, after=after, limit=3)
        seen += page.items
        if (after := page.next) is None:
            break
    assert [transfer.id for transfer in seen] == ids[::-1]


def test_a_rare_state_is_found_behind_many_others(any_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_SCANNED", 5)
    rare, _ = submit(any_lab.store)
    any_lab.store.ask(rare, None, Wish.PAUSE)
    for _ in range(12):
        submit(any_lab.store)
    found, after, pages = [], None, 0
    while True:
        page = any_lab.store.list("ada", state="PAUSED", after=after, limit=3)
        found += [transfer.id for transfer in page.items]
        pages += 1
        if (after := page.next) is None:
            break
    assert found == [rare]
    assert pages > 1, "a page that looked through enough ends early, with a cursor"


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1e9", "9" * 40, "²"])
def test_what_is_no_cursor_is_refused(lab: Lab, cursor: str) -> None:
    transfer, _ = submit(lab.store)
    for call in (
        lambda: lab.store.list(None, state=None, after=cursor, limit=1),
        lambda: lab.store.files(transfer, None, state=None, after=cursor, limit=1),
    ):
        with pytest.raises(Problem) as caught:
            call()
        assert caught.value.code == "invalid-cursor"


def test_files_and_events_are_paged(any_lab: Lab) -> None:
    wanted = many(25)
    transfer, _ = accepted(any_lab.store, wanted)
    any_lab.store.ask(transfer, None, Wish.PAUSE)
    seen, after = [], None
    while True:
        page = any_lab.store.files(transfer, "ada", state=FileState.PAUSED, after=after, limit=10)
        seen += [file.destination for file in page.items]
        if (after := page.next) is None:
            break
    assert seen == [f"b:/f{number}" for number in range(25)]
    first = any_lab.store.events(transfer, "ada", after=0, limit=20)
    rest = any_lab.store.events(transfer, "ada", after=int(first.items[-1].id), limit=100)
    assert len(first.items) + len(rest.items) == 25 + 2
    assert rest.next is None
    assert any_lab.store.files(transfer, "ada", state=FileState.DONE, after=None, limit=10).items == []


class Held(Layer):
    """Nothing is read before it is ``released``."""

    extras = Layer.wrapped  # type: ignore[assignment]

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.released = threading.Event()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        assert self.released.wait(120)
        return start()


@pytest.mark.parametrize("count", [5000])
def test_wishes_of_transfers_of_any_length(any_lab: Lab, count: int) -> None:
    source = any_lab.posix("a")
    held = Held(any_lab.backends["a"])
    any_lab.add("a", held)
    any_lab.posix("b")
    for number in range(min(count, 20)):
        (source / f"f{number}").write_bytes(b"x")
    transfer, _ = accepted(any_lab.store, many(count))
    store = any_lab.store
    statements: list[object] = []
    event.listen(any_lab.database._writer, "before_cursor_execute", lambda *told: statements.append(told))
    assert store.ask(transfer, None, Wish.PAUSE).state is TransferState.PAUSED
    assert len(statements) < 30, "however many files it has"
    any_lab.start()
    any_lab.until(lambda: store.get(transfer, None).files.paused == count)
    assert store.ask(transfer, None, Wish.PAUSE).state is TransferState.PAUSED, "asked again"
    store.ask(transfer, None, Wish.RESUME)
    any_lab.until(lambda: store.get(transfer, None).files.failed + store.get(transfer, None).files.done > 0)
    store.ask(transfer, None, Wish.CANCEL)
    held.released.set()
    done = any_lab.wait(transfer)
    assert done.state is TransferState.CANCELLED
    assert done.files.done + done.files.failed + done.files.cancelled == count


REFUSED = {
    Wish.PAUSE: "transfer-finished",
    Wish.RESUME: "transfer-finished",
    Wish.CANCEL: "transfer-finished",
    Wish.RETRY: "nothing-to-retry",
}


@pytest.mark.parametrize("wish", Wish)
def test_a_finished_transfer_is_not_steered(any_lab: Lab, wish: Wish) -> None:
    source = any_lab.posix("a")
    any_lab.posix("b")
    (source / "f").write_bytes(b"x")
    any_lab.start()
    done = any_lab.run(("a:/f", "b:/f"))
    with pytest.raises(Problem) as caught:
        any_lab.store.ask(done.id, None, wish)
    assert (caught.value.status, caught.value.code) == (409, REFUSED[wish])
    assert caught.value.next_step


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.RESUME, Wish.RETRY])
def test_a_cancelled_transfer_stays_cancelled(any_lab: Lab, wish: Wish) -> None:
    transfer, _ = submit(any_lab.store)
    assert any_lab.store.ask(transfer, None, Wish.CANCEL).state is TransferState.CANCELLED
    with pytest.raises(Problem) as caught:
        any_lab.store.ask(transfer, None, wish)
    assert caught.value.status == 409


def test_a_transfer_cancelled_before_anything_was_listed_is_cancelled(any_lab: Lab) -> None:
    wanted = request(("a:/run/", "b:/run/"))
    transfer, _ = accepted(any_lab.store, wanted)
    found = any_lab.store.ask(transfer, None, Wish.CANCEL)
    assert (found.state, found.listing) == (TransferState.CANCELLED, False)
    assert found.finished is not None


def test_retrying_moves_only_what_failed(any_lab: Lab) -> None:
    source, out = any_lab.posix("a"), any_lab.posix("b")
    (source / "good").write_bytes(b"x")
    any_lab.start()
    failed = any_lab.run(("a:/good", "b:/good"), ("a:/late", "b:/late"))
    assert (failed.state, failed.files.done, failed.files.failed) == (TransferState.FAILED, 1, 1)
    (source / "late").write_bytes(b"now")
    inode = (out / "good").stat().st_ino
    again = any_lab.store.ask(failed.id, "ada", Wish.RETRY)
    assert again.finished is None
    done = any_lab.wait(failed.id)
    assert (done.state, done.files.done) == (TransferState.DONE, 2)
    assert (out / "good").stat().st_ino == inode
    assert (out / "late").read_bytes() == b"now"


def test_counts_are_of_all_transfers(any_lab: Lab) -> None:
    accepted(any_lab.store, many(3))
    paused, _ = accepted(any_lab.store, many(4), "bo")
    any_lab.store.ask(paused, None, Wish.PAUSE)
    counts = any_lab.store.counts()
    assert (counts["queued"], counts["paused"], counts["done"]) == (3, 4, 0)


def test_the_longest_paths_are_stored(any_lab: Lab) -> None:
    import random

    long = "/".join("".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=250)) for n in range(16))
    wanted = request((f"a:/{long}", f"b:/{long}"))
    transfer, _ = accepted(any_lab.store, wanted)
    assert any_lab.file(transfer).destination == f"b:/{long}"


def test_what_an_older_database_still_wants_is_paused_all_or_none(
    any_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it would leave lines in the journal, by which a restart would take the database for a current one."""
    ids = [submit(any_lab.store)[0] for _ in range(3)]
    ask, asked = wishes.ask, []

    def fails_at_the_second(*arguments: Any) -> None:
        asked.append(arguments)
        if len(asked) == 2:
            raise OSError("no")
        ask(*arguments)

    monkeypatch.setattr(wishes, "ask", fails_at_the_second)
    with pytest.raises(OSError, match="no"):
        any_lab.store.pause_all()
    assert {any_lab.store.get(id, None).state for id in ids} == {TransferState.QUEUED}
    monkeypatch.undo()
    any_lab.store.pause_all()
    assert {any_lab.store.get(id, None).state for id in ids} == {TransferState.PAUSED}
    any_lab.store.pause_all()  # once more is no error
