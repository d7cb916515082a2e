"""Manifests as they are kept: all of one, or none."""

from __future__ import annotations

from typing import Any

import pytest
from scigate.gateway_api.db.schema import manifest
from scigate.gateway_api.transfers.manifests import FORGOTTEN, Manifests
from scigate.storage_backends.errors import NotFound
from sqlalchemy import update

Lab = Any  # from conftest.py
LINE = b'["lab:/f%d","out:/f%d"]\n'


def test_what_is_left_of_one_whose_beginning_was_swept_away_is_not_taken_for_the_whole(lab: Lab) -> None:
    manifests = Manifests(lab.database)
    manifests.add("slow", 0, LINE % (0, 0))
    older = update(manifest).values(created=manifest.c.created - FORGOTTEN - 1)
    lab.database.write(lambda connection: connection.execute(older))
    manifests.sweep()
    manifests.add("slow", 1, LINE % (1, 1))
    with pytest.raises(NotFound, match="not kept"):
        list(manifests.pairs("slow"))


def test_pieces_are_given_in_the_order_in_which_they_came(lab: Lab) -> None:
    manifests = Manifests(lab.database)
    for number in (1, 0, 2, 1):
        manifests.add("m", number, LINE % (number, number))
    assert [pair.destination.path for pair in manifests.pairs("m")] == ["f0", "f1", "f2"]
