"""A clock that differs from the server's by a day, ours or its: what is signed is signed by the server's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import Unreachable
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3, strict_s3

DAYS = [timedelta(days=1), timedelta(days=-1)]


@pytest.fixture
def layer(seaweedfs: S3Server) -> Iterator[StrictS3]:
    with strict_s3(seaweedfs) as made:
        yield made


@pytest.fixture
def backend(layer: StrictS3, open_s3: Callable[..., S3Backend]) -> S3Backend:
    return open_s3(layer.server)


def write(backend: S3Backend, path: str) -> None:
    draft = backend.draft(path, 4, key=path)
    receipt = draft.write(0, 0, 4, [b"data"])
    assert draft.publish([receipt], if_absent=False, digests={}).size == 4


@pytest.mark.parametrize("ahead", DAYS, ids=str)
def test_a_draft_is_written_when_a_clock_is_set_meanwhile(
    layer: StrictS3, backend: S3Backend, ahead: timedelta
) -> None:
    write(backend, "before")
    draft = backend.draft("x", 6 * MiB, key="k")
    layer.ahead = ahead
    listed = draft.parts()  # a question of the control plane
    receipt = draft.write(0, 0, 6 * MiB, [bytes(6 * MiB)])
    assert (listed, draft.publish([receipt], if_absent=False, digests={}).size) == ({}, 6 * MiB)
    assert layer.refused().count("RequestTimeTooSkewed") == 1, "learned once for both planes"
    layer.ahead = timedelta(0)
    write(backend, "after")


@pytest.mark.parametrize("ahead", DAYS, ids=str)
def test_what_must_not_be_sent_twice_is_sent_again_when_only_its_time_was_refused(
    layer: StrictS3, backend: S3Backend, ahead: timedelta
) -> None:
    write(backend, "before")
    layer.ahead = ahead
    write(backend, "x")  # begins with beginning an upload
    assert layer.refused().count("RequestTimeTooSkewed") == 1


@pytest.mark.parametrize("ahead", DAYS, ids=str)
def test_every_question_of_the_data_plane_learns(layer: StrictS3, backend: S3Backend, ahead: timedelta) -> None:
    write(backend, "x")
    for ask in (lambda: list(backend.scan()), lambda: list(backend.read("x")), lambda: backend.stat("x")):
        backend._clock.skew = 0.0
        layer.ahead = ahead
        with pytest.raises(Unreachable, match="clocks"):
            ask()
        ask()


@pytest.mark.parametrize("ahead", DAYS, ids=str)
def test_a_link_is_dated_by_the_servers_clock(layer: StrictS3, backend: S3Backend, ahead: timedelta) -> None:
    write(backend, "x")
    layer.ahead = ahead
    with suppress(Unreachable):
        backend.stat("x")
    assert backend.extras.presign is not None
    link = backend.extras.presign("x", timedelta(minutes=5))
    assert httpx.get(link, trust_env=False, timeout=60).content == b"data"


@pytest.mark.parametrize("ahead", DAYS, ids=str)
@pytest.mark.parametrize("checked", [True, False], ids=["time-is-checked", "time-is-not-checked"])
def test_an_upload_that_was_never_recorded_is_found_whatever_our_clock_shows(
    layer: StrictS3, open_s3: Callable[..., S3Backend], ahead: timedelta, checked: bool
) -> None:
    """By the time at the server, for that is by which it tells when uploads began."""
    server = layer.server if checked else layer.below
    died = open_s3(server)
    died.draft("x", 6 * MiB, key="k")
    lives = open_s3(server, prefix=died._prefix)
    lives._clock._ours = lambda: time.time() + ahead.total_seconds()
    lives.abandon("x", key="k", ref=None, since=datetime.now(UTC) + ahead)
    assert list(lives._control.uploads(lives._key("x"), "x")) == []


def test_a_time_that_was_noted_before_our_clock_was_set_is_not_moved(
    layer: StrictS3, open_s3: Callable[..., S3Backend]
) -> None:
    backend, noted = open_s3(layer.server), datetime.now(UTC)
    backend.draft("x", 6 * MiB, key="k")
    backend._clock._ours = lambda: time.time() - DAYS[0].total_seconds()
    backend.abandon("x", key="k", ref=None, since=noted)
    assert list(backend._control.uploads(backend._key("x"), "x")) == []
