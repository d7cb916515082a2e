"""What people are told of a storage's failure."""

from __future__ import annotations

import pytest
from scigate.gateway_api.transfers.looking import failure_of
from scigate.storage_backends.errors import AlreadyExists


@pytest.mark.parametrize("words", ["cannot publish: File exists", "something is here already"])
def test_a_destination_that_came_meanwhile_is_told_in_the_same_words(words: str) -> None:
    cause = failure_of(AlreadyExists(words, path="run7/a.dat"), 0).cause
    assert (cause.code, cause.message) == ("already-exists", "the destination exists already: run7/a.dat")
    assert cause.next_step == "Choose another name, or overwrite, newer or skip-same."
