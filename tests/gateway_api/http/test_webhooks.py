"""Webhooks over HTTP: what is asked, shown and refused."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .conftest import Running, finished, problem

V1 = "/api/v1"
WEBHOOKS = f"{V1}/webhooks"
URL = "http://127.0.0.1:9/hook?token=secret-of-ada"  # where nobody listens


@pytest.fixture(autouse=True)
def _none_left(gateway: Running) -> Iterator[None]:
    yield
    admin = gateway.client("root")
    for one in admin.get(WEBHOOKS).json()["items"]:
        admin.delete(f"{WEBHOOKS}/{one['id']}")


def create(client: httpx.Client, **more: object) -> httpx.Response:
    return client.post(WEBHOOKS, json={"url": URL, **more})


def test_a_webhook_from_its_creation_to_its_end(ada: httpx.Client) -> None:
    answer = create(ada, types=["scigate.file.*"])
    assert answer.status_code == 201
    created = answer.json()
    webhook = created["webhook"]
    assert created["secret"].startswith("whsec_")
    assert answer.headers["Location"] == f"{WEBHOOKS}/{webhook['id']}"
    assert webhook["url"] == URL
    assert (webhook["state"], webhook["failures"], webhook["cause"]) == ("active", 0, None)
    assert (webhook["topics"], webhook["types"]) == (["transfers"], ["scigate.file.*"])
    shown = ada.get(answer.headers["Location"])
    assert shown.json() == webhook
    assert ada.get(WEBHOOKS).json() == {"items": [webhook], "next": None}
    for path in (answer.headers["Location"], WEBHOOKS):
        assert created["secret"] not in ada.get(path).text
    assert ada.delete(answer.headers["Location"]).status_code == 204
    problem(ada.get(answer.headers["Location"]), 404, "not-found")
    problem(ada.delete(answer.headers["Location"]), 404, "not-found")


def test_lists_are_paged(ada: httpx.Client) -> None:
    ids = [create(ada).json()["webhook"]["id"] for _ in range(5)]
    answer = ada.get(WEBHOOKS, params={"limit": 2})
    found = [one["id"] for one in answer.json()["items"]]
    while "next" in answer.links:
        answer = ada.get(answer.links["next"]["url"])
        found += [one["id"] for one in answer.json()["items"]]
    assert found == ids
    problem(ada.get(WEBHOOKS, params={"after": "x"}), 422, "invalid-cursor")


def test_others_see_nothing_and_an_admin_no_secrets(gateway: Running, ada: httpx.Client) -> None:
    one = create(ada).headers["Location"]
    bo, root = gateway.client("bo"), gateway.client("root")
    assert bo.get(WEBHOOKS).json()["items"] == []
    foreign = [bo.get(one), bo.delete(one), bo.post(f"{one}/enable"), bo.post(f"{one}/test")]
    for answer in (*foreign, bo.post(f"{one}/replay", json={"after": "0"})):
        problem(answer, 404, "not-found")
    assert root.get(one).json()["owner"] == "ada"
    assert "secret-of-ada" not in root.get(one).text + root.get(WEBHOOKS).text
    assert ada.get(one).json()["url"] == URL


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://127.0.0.1:22/", 422, "egress-refused"),
        ("http://10.1.2.3/", 422, "egress-refused"),
        ("http://169.254.169.254/latest/meta-data/", 422, "egress-refused"),
        ("http://[::1]/", 422, "egress-refused"),
        ("http://0x7f.1/", 422, "invalid-url"),
        ("ftp://example.org/", 422, "invalid-url"),
        ("https://user:pass-word@example.org/", 422, "invalid-url"),
        ("not a url", 422, "invalid-url"),
        ("http://127.0.0.1:9/" + "a" * 2000, 422, "invalid"),
        ("", 422, "invalid"),
    ],
)
def test_urls_that_are_refused(ada: httpx.Client, url: str, status: int, code: str) -> None:
    body = problem(ada.post(WEBHOOKS, json={"url": url}), status, code)
    assert "pass-word" not in body["detail"]
    assert code != "invalid-url" or "your receiver, for example https://example.org/scigate" in body["next_step"]
    assert ada.get(WEBHOOKS).json()["items"] == [], "a refused request leaves nothing behind"


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"topics": []}, 422, "invalid"),
        ({"topics": ["everything"]}, 422, "invalid-topic"),
        ({"topics": ["transfers"] * 101}, 422, "invalid"),
        ({"topics": ["transfer:" + "0" * 32]}, 404, "not-found"),
        ({"types": ["*"]}, 422, "invalid-type"),
        ({"types": ["scigate.x"] * 101}, 422, "invalid"),
        ({"secret": "mine"}, 422, "invalid"),
    ],
)
def test_requests_that_are_refused(ada: httpx.Client, more: dict[str, object], status: int, code: str) -> None:
    problem(create(ada, **more), status, code)


def test_a_foreign_transfer_is_no_topic(gateway: Running, ada: httpx.Client) -> None:
    location = ada.put(f"{V1}/files/mem/of-ada", content=b"x").headers["Location"]
    topic = f"transfer:{finished(ada, location)['id']}"
    assert create(ada, topics=[topic]).status_code == 201
    problem(create(gateway.client("bo"), topics=[topic]), 404, "not-found")
    assert create(gateway.client("root"), topics=[topic]).status_code == 201


def test_there_are_limits_for_each_user(gateway: Running, ada: httpx.Client) -> None:
    most = gateway.service.settings.limits.webhooks_per_user
    assert [create(ada).status_code for _ in range(most)] == [201] * most
    problem(create(ada), 409, "too-many-webhooks")
    assert create(gateway.client("bo")).status_code == 201


def test_a_test_tells_what_the_receiver_said(ada: httpx.Client) -> None:
    one = create(ada).headers["Location"]
    answer = ada.post(f"{one}/test").json()
    assert (answer["accepted"], answer["cause"]["code"]) == (False, "receiver-unreachable")
    assert "secret-of-ada" not in str(answer)
    assert ada.get(one).json()["failures"] == 0, "a test is no delivery"


def test_a_replay_names_an_event_that_is_there(ada: httpx.Client) -> None:
    one = create(ada).headers["Location"]
    assert ada.post(f"{one}/replay", json={"after": "0"}).json()["delivered"] == "0"
    problem(ada.post(f"{one}/replay", json={"after": "9" * 18}), 422, "invalid-cursor")
    for wrong in ("", "-1", "x", "9" * 19, "1\n", "١"):
        problem(ada.post(f"{one}/replay", json={"after": wrong}), 422, "invalid")
