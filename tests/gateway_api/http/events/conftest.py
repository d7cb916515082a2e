"""Followers of a gateway: a stream that is read event by event, and a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

STREAM = "/api/v1/events"


@dataclass
class Message:
    """One block of a stream (WHATWG HTML §9.2.6)."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None
    retry: int | None = None


@dataclass
class Follower:
    """Reads a stream. ``last`` is what a browser would send as Last-Event-ID."""

    answer: httpx.Response
    last: str | None = None
    _lines: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._lines = self.answer.iter_lines()

    def next(self) -> Message:
        """The next block, whatever it is; ``StopIteration`` at the end of the stream."""
        message, begun = Message(), False
        for line in self._lines:
            if not line and begun:
                self.last = message.id or self.last
                return message
            begun = True
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            kind = {"data": json.loads, "retry": int}.get(name, str)
            setattr(message, name or "comment", kind(value))
        raise StopIteration

    def events(self, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The events up to the first for which ``until`` is true; blocks without data are passed over."""
        found: list[dict[str, Any]] = []
        while not found or not until(found[-1]):
            if (message := self.next()).data is not None:
                assert message.event == message.data["type"]
                found.append(message.data)
        return found


@contextmanager
def following(client: httpx.Client, last: str | None = None, **params: Any) -> Iterator[Follower]:
    """Open a stream; it has begun when this returns."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    with client.stream("GET", STREAM, params=params, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        follower = Follower(answer)
        assert follower.next().retry
        yield follower


@pytest.fixture(scope="session")
def follow() -> Any:
    """``with follow(client, topics=…) as follower``."""
    return following


def done(id: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is the end of this transfer."""
    return lambda event: event["type"] == "scigate.transfer.done" and event["data"]["transfer"] == id


def submit(client: httpx.Client, *pairs: tuple[str, str], **more: Any) -> str:
    """Submit a transfer; its id."""
    body = {"files": [{"source": source, "destination": destination} for source, destination in pairs], **more}
    answer = client.post("/api/v1/transfers", json={"overwrite": "overwrite", **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["transfer"]["id"])


def journal(client: httpx.Client, id: str) -> list[dict[str, Any]]:
    """All events of a transfer, as the journal lists them."""
    found: list[dict[str, Any]] = []
    url = f"/api/v1/transfers/{id}/events"
    while True:
        page = client.get(url, params={"after": found[-1]["id"]} if found else {}).json()
        found += page["items"]
        if page["next"] is None:
            return found
