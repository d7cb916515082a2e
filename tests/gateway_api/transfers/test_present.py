"""Who has transfers on their way: the hub must not take them for idle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from scigate.gateway_api.db.schema import file, upload
from scigate.gateway_api.resources import FileState
from scigate.gateway_api.transfers.present import SOON, Present
from scigate.gateway_api.transfers.wishes import Wish
from sqlalchemy import Connection, update

from .conftest import Lab

DAY = timedelta(days=1)


def present(lab: Lab) -> set[str]:
    return Present(lab.database, DAY).owners()


def set_all(lab: Lab, **values: object) -> None:
    lab.database.write(lambda connection: connection.execute(update(file).values(**values)) and None)


@pytest.fixture
def filled(any_lab: Lab) -> Lab:
    """Storages, with nothing that runs."""
    for name in ("lab", "archive"):
        any_lab.memory(name)
    return any_lab


def test_nobody_at_first(filled: Lab) -> None:
    assert present(filled) == set()


def test_who_has_submitted_is_there_until_it_is_done(filled: Lab) -> None:
    filled.backends["lab"].put("a", b"data")
    ids = [filled.submit(("lab:/a", f"archive:/{owner}"), owner=owner) for owner in ("ada", "bo", "ada@example.org")]
    assert present(filled) == {"ada", "bo", "ada@example.org"}
    filled.start()
    for id in ids:
        filled.wait(id)
    assert present(filled) == set()


@pytest.mark.parametrize("state", [FileState.CLAIMED, FileState.COPYING, FileState.VERIFYING, FileState.PUBLISHING])
def test_what_moves_counts(lab: Lab, state: FileState) -> None:
    lab.memory("lab")
    lab.submit(("lab:/a", "lab:/b"))
    set_all(lab, state=state)
    assert present(lab) == {"ada"}
    set_all(lab, state=FileState.QUEUED)


def test_what_its_owner_has_paused_does_not_count(filled: Lab) -> None:
    filled.submit(("lab:/c", "archive:/c"), owner="bo")
    paused = filled.submit(("lab:/a", "archive:/a"), ("lab:/folder/", "archive:/folder/"))
    filled.store.ask(paused, None, Wish.PAUSE)
    filled.start()
    filled.until(lambda: filled.store.get(paused, None).state == "PAUSED")
    filled.until(lambda: present(filled) == set())
    filled.store.ask(paused, None, Wish.RESUME)


def test_a_folder_that_is_still_listed_counts(filled: Lab) -> None:
    filled.submit(("lab:/folder/", "archive:/folder/"))
    assert present(filled) == {"ada"}


@pytest.mark.parametrize("folder", ["", "/"])
def test_what_begins_soon_counts_and_what_begins_tomorrow_does_not(filled: Lab, folder: str) -> None:
    now, pair = datetime.now(UTC), (f"lab:/a{folder}", f"archive:/a{folder}")
    filled.submit(pair, owner="bo", not_before=(now + DAY).isoformat())
    assert present(filled) == set()
    filled.submit(pair, owner="ada", not_before=(now + SOON / 2).isoformat())
    assert present(filled) == {"ada"}


def test_an_upload_counts_while_its_sender_sends(filled: Lab) -> None:
    filled.uploads().announce("u" * 32, "archive:/a", 100)
    assert present(filled) == {"ada"}

    def age(seconds: float) -> None:
        def job(connection: Connection) -> None:
            until = filled.database.now(connection) + DAY.total_seconds() - seconds
            connection.execute(update(upload).values(expires=until))
            connection.execute(update(file).values(next_try=until))

        filled.database.write(job)

    age(SOON.total_seconds() / 2)
    assert present(filled) == {"ada"}
    age(SOON.total_seconds() + 1)
    assert present(filled) == set()
