"""How many people are here: each once, and nobody who has left."""

from __future__ import annotations

import pytest
from scigate.gateway_api import presence
from scigate.gateway_api.presence import RECENT, Presence


def test_each_is_counted_once_and_not_for_ever() -> None:
    now = [0.0]
    here = Presence(clock=lambda: now[0])
    assert here.count() == 0
    for who in ("ada", "bo", "ada"):
        here.seen(who)
    assert here.count() == 2
    now[0] = RECENT - 1
    here.seen("bo")
    now[0] = RECENT + 1
    assert here.count() == 1


def test_who_moves_or_follows_something_is_here_though_they_ask_nothing() -> None:
    here = Presence()
    here.others += [lambda: ["ada"], lambda: ["ada", "bo"]]
    here.seen("ada")
    assert here.count() == 2


def test_very_many_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST", 100)
    now = [0.0]
    here = Presence(clock=lambda: now[0])
    for number in range(1000):
        now[0] += 10
        here.seen(f"user {number}")
    assert len(here._seen) <= 101
