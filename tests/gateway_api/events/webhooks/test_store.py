"""How far each webhook is delivered, and who delivers it: on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import webhook
from scigate.gateway_api.events import webhooks_store as module
from scigate.gateway_api.events.webhooks_store import Delivery, NewWebhook, WebhookStore
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import Cause
from sqlalchemy import select, update

from tests.gateway_api.events.webhooks.receiver import until

CAUSE = Cause(code="c", message="It failed.", retriable=True, next_step="Wait.")
LAST = Cause(code="c", message="It failed for good.", retriable=False, next_step="Enable it.")


@pytest.fixture
def store(any_url: str) -> Iterator[WebhookStore]:
    migrate(any_url)
    database = Database(any_url)
    yield WebhookStore(database)
    database.close()


def make(store: WebhookStore, number: int = 1, owner: str = "ada", most: int = 20) -> int:
    new = NewWebhook(f"{number:032x}", owner, "https://example.org/", ["transfers"], [], "key")
    return int(store.create(new, 0, most).seq)


def claimed(store: WebhookStore, seq: int, worker: str) -> Delivery:
    held = store.claim(seq, worker)
    assert held is not None
    return held


def due(store: WebhookStore, worker: str, owners: tuple[str, ...] = ("ada",)) -> list[int]:
    return [one.seq for one in store.due(worker, "key", 10, owners)]


def test_one_at_a_time(store: WebhookStore) -> None:
    seq = make(store)
    held = claimed(store, seq, "one")
    assert store.claim(seq, "two") is None
    assert (due(store, "one"), due(store, "two")) == ([seq], []), "one may go on with its own after a restart"
    assert store.accepted(held, "two", 5) is None
    done = store.accepted(held, "one", 5)
    assert done is not None
    assert done.delivered == 5
    store.release(seq, "two")
    assert store.claim(seq, "two") is None, "only who holds it gives it back"
    store.release(seq, "one")
    assert claimed(store, seq, "two").delivered == 5


def test_a_lease_that_runs_out_is_taken_over_and_its_holder_is_fenced(
    store: WebhookStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE", 0.3)
    seq = make(store)
    held = claimed(store, seq, "one")
    until(lambda: due(store, "two") == [seq])
    theirs = claimed(store, seq, "two")
    assert store.accepted(held, "one", 5) is None
    assert not store.refused(held, "one", CAUSE, LAST, delay=60, give_up=0)
    assert store.accepted(theirs, "two", 5) is not None


def test_each_try_renews_the_lease(store: WebhookStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seq = make(store)
    held: Delivery | None = claimed(store, seq, "one")
    ends = [lease_until(store)]
    for number in range(1, 5):
        monkeypatch.setattr(module, "LEASE", 60.0 * number)  # by which it can be told from the one before
        assert held is not None
        held = store.accepted(held, "one", number)
        ends.append(lease_until(store))
    assert held is not None
    assert all(later > earlier + 20 for earlier, later in itertools.pairwise(ends)), ends
    assert store.claim(seq, "two") is None


def lease_until(store: WebhookStore) -> float:
    with store._database.read() as connection:
        return float(connection.execute(select(webhook.c.lease_until)).scalar_one())


def test_a_replay_or_an_enabling_beats_what_is_on_its_way(store: WebhookStore) -> None:
    seq = make(store)
    held = claimed(store, seq, "one")
    held = store.accepted(held, "one", 7) or held
    store.change(f"{1:032x}", "ada", {"delivered": 3})
    assert store.accepted(held, "one", 8) is None
    assert store.get(f"{1:032x}", "ada").delivered == 3


def test_failures_wait_and_end(store: WebhookStore) -> None:
    seq = make(store)
    held = claimed(store, seq, "one")
    assert not store.refused(held, "one", CAUSE, LAST, delay=60, give_up=30)
    assert due(store, "one") == []
    earlier = {"next_try": webhook.c.next_try - 61, "failing_since": webhook.c.failing_since - 61}
    store._database.write(lambda connection: connection.execute(update(webhook).values(earlier)) and None)
    assert due(store, "two") == [seq], "the lease is given back with the failure"
    again = claimed(store, seq, "two")
    assert again.failures == 1
    assert store.refused(again, "two", CAUSE, LAST, delay=0, give_up=30)
    row = store.get(f"{1:032x}", "ada")
    assert (row.disabled, row.failures, Cause.model_validate_json(row.cause)) == (True, 2, LAST)
    assert store.claim(seq, "one") is None
    assert due(store, "one") == []


def test_whose_is_due(store: WebhookStore) -> None:
    ada, bo = make(store, 1, "ada"), make(store, 2, "bo")
    assert due(store, "one", ("ada", "bo")) == [ada, bo]
    assert due(store, "one", ("bo",)) == [bo]
    assert [one.seq for one in store.due("one", "another-key", 10, ("ada", "bo"))] == []
    assert store.count_of_other_keys("another-key") == 2
    store.skip(claimed(store, ada, "one"), "one", 10)
    assert due(store, "one", ("ada", "bo")) == [bo]


def test_limits_and_foreign_ones(store: WebhookStore) -> None:
    for number in range(3):
        make(store, number, "ada", most=3)
    with pytest.raises(Problem) as refused:
        make(store, 3, "ada", most=3)
    assert (refused.value.status, refused.value.code) == (409, "too-many-webhooks")
    make(store, 4, "bo", most=3)
    for act in (store.get, store.delete, lambda id, owner: store.change(id, owner, {"delivered": 1})):
        with pytest.raises(Problem) as missing:
            act(f"{4:032x}", "ada")  # type: ignore[operator]
        assert missing.value.status == 404
    assert [row.id for row in store.list("ada", 0, 2)] == [f"{0:032x}", f"{1:032x}"]
    assert len(store.list(None, 0, 10)) == 4
    store.delete(f"{0:032x}", "ada")
    assert make(store, 5, "ada", most=3)
