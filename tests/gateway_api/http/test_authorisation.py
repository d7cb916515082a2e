"""Who sees what: foreign things, lists, tokens and hosts. Every route against every role is in ``tests/evil``."""

from __future__ import annotations

import pytest

from .conftest import Running, finished, problem

V1 = "/api/v1"
USERS = ("ada", "bo", "root")


@pytest.fixture(scope="module")
def transfer(gateway: Running) -> str:
    """The id of a finished transfer of ada's."""
    client = gateway.client("ada")
    gateway.service._storages.get("adas").backend.put("source", b"data")
    body = {"files": [{"source": "adas:/source", "destination": "adas:/copy"}], "overwrite": "overwrite"}
    answer = client.post(f"{V1}/transfers", json=body)
    return str(finished(client, answer.headers["Location"])["id"])


def test_a_foreign_transfer_answers_like_one_that_is_not_there(gateway: Running, transfer: str) -> None:
    client = gateway.client("bo")
    foreign = problem(client.get(f"{V1}/transfers/{transfer}"), 404, "not-found")
    missing = problem(client.get(f"{V1}/transfers/{'0' * 32}"), 404, "not-found")
    assert foreign["title"].replace(transfer, "") == missing["title"].replace("0" * 32, "")


def test_a_foreign_storage_answers_like_one_that_is_not_there(gateway: Running) -> None:
    client = gateway.client("bo")
    foreign = problem(client.get(f"{V1}/files/adas/file"), 404, "not-found")
    missing = problem(client.get(f"{V1}/files/none/file"), 404, "not-found")
    assert foreign["title"].replace("adas", "") == missing["title"].replace("none", "")


def test_lists_hold_only_what_is_ones_own(gateway: Running, transfer: str) -> None:
    names = {
        user: [one["name"] for one in gateway.client(user).get(f"{V1}/storages").json()["items"]] for user in USERS
    }
    assert names["ada"] == ["adas", "community", "frozen", "lab", "mem"]
    assert names["bo"] == ["frozen", "lab", "mem"]
    assert names["root"] == ["adas", "community", "frozen", "lab", "mem"]
    assert gateway.client("bo").get(f"{V1}/transfers").json()["items"] == []
    assert transfer in [one["id"] for one in gateway.client("root").get(f"{V1}/transfers").json()["items"]]


def test_status_shows_plugins_and_counts_to_admins_only(gateway: Running) -> None:
    other, admin = (gateway.client(user).get(f"{V1}/status").json() for user in ("bo", "root"))
    assert other["files"] == {}
    assert "done" in admin["files"]
    assert not [check for check in other["checks"] if "adas" in check["name"]]


def test_the_staging_area_cannot_be_named(gateway: Running) -> None:
    client = gateway.client("root")
    problem(client.get(f"{V1}/storages/staging"), 404, "not-found")
    problem(client.get(f"{V1}/files/staging/"), 404, "not-found")
    for pair in (("staging:/a", "mem:/a"), ("mem:/a", "staging:/a")):
        body = {"files": [{"source": pair[0], "destination": pair[1]}]}
        assert "staging" in problem(client.post(f"{V1}/transfers", json=body), 422, "invalid-transfer")["detail"]


def test_a_read_only_storage_is_read_and_not_written(gateway: Running) -> None:
    (gateway.folder / "frozen" / "a").write_bytes(b"ice")
    client = gateway.client("root")
    assert client.get(f"{V1}/files/frozen/a").content == b"ice"
    problem(client.put(f"{V1}/files/frozen/b", content=b"x"), 403, "read-only")
    problem(client.delete(f"{V1}/files/frozen/a"), 403, "read-only")
    problem(client.post(f"{V1}/files/frozen/new/"), 403, "read-only")
    move = {"source": "frozen:/a", "destination": "frozen:/b"}
    problem(client.post(f"{V1}/moves", json=move), 403, "read-only")


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic cm9vdDpyb290", "Token abc", "Bearer", "\x00"])
def test_a_token_that_is_none_is_refused(gateway: Running, header: str) -> None:
    status, headers, body = gateway.raw("GET", f"{V1}/storages", headers={"Authorization": header})
    assert status in (400, 401)
    assert b"adas" not in body
    assert status == 400 or headers["www-authenticate"] == 'Bearer realm="scigate"'


def test_a_token_in_the_url_is_refused_even_if_it_is_right(gateway: Running) -> None:
    from .conftest import TOKENS

    answer = gateway.client("ada").get(f"{V1}/storages", params={"token": TOKENS["ada"]})
    assert TOKENS["ada"] not in answer.text
    problem(answer, 400, "token-in-url")


def test_a_browser_may_give_the_token_as_a_password_for_pages_only(gateway: Running) -> None:
    from .conftest import TOKENS

    client = gateway.client(None, auth=("anybody", TOKENS["bo"]))
    assert client.get("/docs").status_code == 200
    problem(client.get(f"{V1}/storages"), 401, "unauthorized")
    assert "Basic" in gateway.client(None).get("/docs").headers["WWW-Authenticate"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "[::2]"])
def test_a_foreign_host_name_is_refused_on_loopback(gateway: Running, host: str) -> None:
    answer = gateway.client("ada").get(f"{V1}/storages", headers={"Host": host})
    problem(answer, 421, "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8470", "[::1]:8470"])
def test_names_of_this_machine_are_fine(gateway: Running, host: str) -> None:
    assert gateway.client("ada").get(f"{V1}/storages", headers={"Host": host}).status_code == 200
