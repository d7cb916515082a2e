"""Events reach their receivers: in order, each at least once, signed, whatever the receivers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from scigate.gateway_api.actor import Actor
from scigate.gateway_api.events.webhooks_rules import Retries, Turns
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.resources import ReplayRequest, WebhookState
from scigate.gateway_api.transfers.wishes import Wish

from tests.gateway_api.events.webhooks.conftest import ADA, BO, ROOT, Office
from tests.gateway_api.events.webhooks.receiver import Message, Receiver, Request, says, until

NewReceiver = Callable[..., Receiver]
OpenOffice = Callable[..., Office]
LONG = timedelta(minutes=2)


def test_events_come_in_order_and_signed(any_url: str, open_office: OpenOffice, receiver: Receiver) -> None:
    office = open_office(any_url)
    office.happen(3)
    created = office.make(receiver)
    ids = office.happen(120)
    until(lambda: len(receiver.accepted) >= 120)
    messages = list(receiver.accepted)
    assert [message.event["data"]["transfer"] for message in messages] == ids, "from its creation on, each once"
    assert all(message.is_signed(created.secret) for message in messages)
    assert receiver.ids() == sorted(receiver.ids())
    assert len({message.id for message in messages}) == 120
    until(lambda: office.show(created).delivered == messages[-1].event["id"])


def test_what_is_sent_is_a_cloud_event(office: Office, receiver: Receiver) -> None:
    created = office.make(receiver)
    (transfer,) = office.happen()
    message = until(lambda: receiver.accepted)[0]
    assert message.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert message.event.items() >= {
        "specversion": "1.0", "type": "scigate.transfer.submitted", "source": f"/api/v1/transfers/{transfer}",
    }.items()  # fmt: skip
    assert message.id == f"msg_{created.webhook.id}_{message.event['id']}"
    assert not message.is_signed("whsec_" + "A" * 44)
    forged = Message(message.id, message.headers, message.body.replace(b"submitted", b"done"))
    assert not forged.is_signed(created.secret)


def test_only_what_the_owner_sees_and_wants(office: Office, new_receiver: NewReceiver) -> None:
    receivers = {name: new_receiver() for name in ("ada", "bo", "root", "one", "types")}
    office.make(receivers["ada"])
    office.make(receivers["bo"], BO)
    office.make(receivers["root"], ROOT)
    before = office.happen(1, "ada")[0]
    office.make(receivers["one"], topics=[f"transfer:{before}"])
    office.make(receivers["types"], types=["scigate.transfer.cancelled", "scigate.file.*"])
    office.happen(2, "bo")
    office.happen(1, "ada")
    office.transfers.ask(before, "ada", Wish.CANCEL)
    until(lambda: len(receivers["ada"].accepted) >= 3 and len(receivers["bo"].accepted) >= 2)
    until(lambda: len(receivers["root"].accepted) >= 5 and receivers["one"].accepted)
    owners = {name: {m.event["data"]["owner"] for m in receivers[name].accepted} for name in ("ada", "bo", "root")}
    assert owners == {"ada": {"ada"}, "bo": {"bo"}, "root": {"ada", "bo"}}
    assert {m.event["data"]["transfer"] for m in receivers["one"].accepted} == {before}
    assert "scigate.transfer.submitted" not in {m.event["type"] for m in receivers["types"].accepted}


def test_a_failed_delivery_is_repeated_with_the_same_id_and_nothing_overtakes_it(
    any_url: str, open_office: OpenOffice, new_receiver: NewReceiver
) -> None:
    office = open_office(any_url)
    statuses = iter([500, 404, 429, 503, 302, 200])
    receiver = new_receiver(lambda request: request.say(next(statuses, 200)))
    created = office.make(receiver)
    office.happen(3)
    until(lambda: len(receiver.accepted) >= 3)
    first = receiver.messages[:6]
    assert len({(message.id, message.body) for message in first}) == 1
    assert len(receiver.messages) == 8
    assert all(message.is_signed(created.secret) for message in receiver.messages)
    view = until(lambda: (view := office.show(created)).state == WebhookState.ACTIVE and view)
    assert (view.failures, view.failing_since, view.cause, view.next_try) == (0, None, None, None)


def test_a_receiver_that_dies_and_comes_back_misses_nothing(office: Office, receiver: Receiver) -> None:
    created = office.make(receiver)
    office.happen(2)
    until(lambda: len(receiver.accepted) >= 2)
    receiver.stop()
    office.happen(5)
    view = until(lambda: (view := office.show(created)).failures >= 2 and view)
    assert (view.state, view.cause.code) == (WebhookState.FAILING, "receiver-unreachable")
    assert view.failing_since
    assert view.next_try
    assert view.cause.next_step
    receiver.start()
    until(lambda: len(receiver.ids()) >= 7)
    assert receiver.ids() == sorted(receiver.ids())


def test_retry_after_is_honoured(office: Office, new_receiver: NewReceiver) -> None:
    wishes = iter([(503, {"Retry-After": "2"}), (200, {})])
    receiver = new_receiver(lambda request: request.say(*next(wishes)))
    office.make(receiver)
    office.happen()
    until(lambda: receiver.accepted)
    first, second = receiver.messages
    assert second.at - first.at >= 2


def test_gone_disables_at_once_and_enabling_goes_on_where_it_ended(office: Office, new_receiver: NewReceiver) -> None:
    receiver = new_receiver(says(410))
    created = office.make(receiver)
    office.happen(2)
    view = until(lambda: (view := office.show(created)).state == WebhookState.DISABLED and view)
    assert (view.cause.code, view.failures) == ("receiver-gone", 1)
    office.happen(1)
    time.sleep(0.5)  # several looks
    assert len(receiver.messages) == 1, "nothing more is tried"
    receiver.answer = says(204)
    office.webhooks.enable(ADA, created.webhook.id)
    until(lambda: len(receiver.accepted) >= 3)
    assert office.show(created).state == WebhookState.ACTIVE


def test_days_of_failures_disable_with_a_cause(
    tmp_path: Any, open_office: OpenOffice, new_receiver: NewReceiver
) -> None:
    retries = Retries(timedelta(milliseconds=20), timedelta(milliseconds=50), give_up=timedelta(seconds=3))
    office = open_office(f"sqlite:///{tmp_path / 'scigate.db'}", retries=retries)
    receiver = new_receiver(says(500, Location="x"))
    created = office.make(receiver)
    office.happen()
    view = until(lambda: (view := office.show(created)).state == WebhookState.DISABLED and view)
    assert "status 500" in view.cause.message
    assert "enable" in view.cause.next_step
    assert not view.cause.retriable
    assert view.failures == len(receiver.messages)
    assert view.failures >= 2, "not at the first one"


def test_a_replay_delivers_again_under_the_same_ids(any_url: str, open_office: OpenOffice, receiver: Receiver) -> None:
    office = open_office(any_url)
    created = office.make(receiver)
    office.happen(4)
    until(lambda: len(receiver.accepted) >= 4)
    second = receiver.accepted[1].event["id"]
    until(lambda: office.show(created).delivered == receiver.accepted[3].event["id"])
    office.webhooks.replay(ADA, created.webhook.id, ReplayRequest(after=second))
    until(lambda: len(receiver.accepted) >= 6)
    again = receiver.accepted[4:]
    assert [message.id for message in again] == [message.id for message in receiver.accepted[2:4]]
    assert [message.body for message in again] == [message.body for message in receiver.accepted[2:4]]
    with pytest.raises(Problem) as refused:
        office.webhooks.replay(ADA, created.webhook.id, ReplayRequest(after="999999"))
    assert (refused.value.status, refused.value.code) == (422, "invalid-cursor")


def test_a_replay_while_an_event_is_on_its_way_is_not_undone(office: Office, new_receiver: NewReceiver) -> None:
    def replayed_by_its_receiver(request: Request) -> None:
        if len(receiver.messages) == 3:
            office.webhooks.replay(ADA, created.webhook.id, ReplayRequest(after="0"))
        request.say(200)

    receiver = new_receiver(replayed_by_its_receiver)
    created = office.make(receiver)
    office.happen(3)
    until(lambda: len(receiver.messages) >= 6)
    ids = [message.event["id"] for message in receiver.messages]
    assert ids[3:6] == ids[:3]


def test_a_webhook_of_a_user_who_lost_access_stops(office: Office, receiver: Receiver) -> None:
    created = office.make(receiver)
    office.happen()
    until(lambda: receiver.accepted)
    del office.users["ada"]
    office.happen(2)
    view = until(lambda: (view := office.show(created)).state == WebhookState.DISABLED and view)
    assert view.cause.code == "owner-unknown"
    time.sleep(0.5)  # several looks
    assert len(receiver.messages) == 1
    office.users["ada"] = False
    until(lambda: len(receiver.accepted) >= 3)


def test_an_admin_who_is_none_any_more_gets_their_own_only(office: Office, receiver: Receiver) -> None:
    office.make(receiver, ROOT)
    office.users["root"] = False
    office.happen(1, "ada")
    office.happen(1, "root")
    until(lambda: receiver.accepted)
    assert [message.event["data"]["owner"] for message in receiver.messages] == ["root"]


def test_a_deleted_webhook_gets_nothing(office: Office, receiver: Receiver) -> None:
    created = office.make(receiver)
    office.webhooks.delete(ADA, created.webhook.id)
    office.happen(2)
    time.sleep(0.5)  # several looks
    assert receiver.messages == []


def test_dead_receivers_delay_nobody(
    tmp_path: Any, open_office: OpenOffice, new_receiver: NewReceiver, receiver: Receiver
) -> None:
    """More receivers that hang than there are threads, of one user and of others."""
    office = open_office(f"sqlite:///{tmp_path / 'scigate.db'}", within=LONG)
    office.users |= {f"user{number}": False for number in range(8)}
    hanging = []
    for number in range(24):
        one = new_receiver()
        one.answer = one.hang
        hanging.append(one)
        office.make(one, Actor(f"user{number % 3}", ""))
    for user in range(3):
        office.happen(1, f"user{user}")
    until(lambda: sum(len(one.messages) for one in hanging) >= 12)
    office.make(receiver, BO)
    begun = time.monotonic()
    office.happen(20, "bo")
    until(lambda: len(receiver.accepted) >= 20, seconds=100)
    assert time.monotonic() - begun < 110, "the hanging ones are given two minutes each"


def test_one_users_slow_receivers_leave_threads_to_others(
    tmp_path: Any, open_office: OpenOffice, new_receiver: NewReceiver, receiver: Receiver
) -> None:
    office = open_office(f"sqlite:///{tmp_path / 'scigate.db'}", within=LONG, turns=Turns(total=3, per_owner=2))
    slow = []
    for _ in range(5):
        one = new_receiver()
        one.answer = one.hang
        slow.append(one)
        office.make(one)
    office.happen(3)
    until(lambda: sum(len(one.messages) for one in slow) >= 2)
    office.make(receiver, BO)
    office.happen(3, "bo")
    until(lambda: len(receiver.accepted) >= 3, seconds=100)
    assert sum(len(one.messages) for one in slow) == 2


def test_a_stop_breaks_off_what_hangs_and_counts_no_failure(
    tmp_path: Any, open_office: OpenOffice, new_receiver: NewReceiver
) -> None:
    url = f"sqlite:///{tmp_path / 'scigate.db'}"
    office = open_office(url, within=LONG)
    receiver = new_receiver()
    receiver.answer = receiver.hang
    created = office.make(receiver)
    office.happen()
    until(lambda: receiver.messages)
    begun = time.monotonic()
    office.deliveries.stop()
    assert time.monotonic() - begun < 60
    assert office.show(created).failures == 0
    receiver.answer = says(200)
    open_office(url)
    until(lambda: receiver.accepted)
    assert {message.id for message in receiver.messages} == {receiver.messages[0].id}
