"""Pages of folders: each entry once, and the last page costs no more than the first."""

from __future__ import annotations

import gc
import time
from itertools import chain
from pathlib import Path

import pytest
from scigate.gateway_api.listings import Listings
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.storages import OpenStorage, Storages
from scigate.storage_backends.registry import BackendRegistry

COUNT = 50


@pytest.fixture
def storage(tmp_path: Path) -> OpenStorage:
    for number in range(COUNT):
        (tmp_path / f"file-{number:02}").touch()
    registry = BackendRegistry()
    settings = Settings.parse(f'[storages.lab]\ntype = "posix"\nroot = "{tmp_path}"', registry=registry)
    return Storages(settings.storages, registry).get("lab")


@pytest.mark.parametrize("limit", [1, 7, COUNT - 1, COUNT, COUNT + 1])
def test_each_entry_comes_once_whatever_the_length_of_pages(storage: OpenStorage, limit: int) -> None:
    listings, after, names = Listings(), None, list[str]()
    while True:
        page = listings.page(storage, "", after, recursive=False, limit=limit)
        names += [item.name for item in page.items]
        after = page.next
        if after is None:
            break
    assert names == [f"file-{number:02}" for number in range(COUNT)]


def test_pages_are_not_built_upon_each_other(storage: OpenStorage) -> None:
    listings, after = Listings(), None
    before = _chains()
    for _ in range(COUNT - 1):
        after = listings.page(storage, "", after, recursive=False, limit=1).next
    assert after is not None
    end = time.monotonic() + 60
    while _chains() >= before + COUNT // 2:  # those of other threads come and go
        assert time.monotonic() < end, "each page holds the one before it"
        gc.collect()


def _chains() -> int:
    return sum(type(one) is chain for one in gc.get_objects())  # "isinstance" would ask proxies whose object is gone
