"""A folder of 100,000 files: pages of bounded size, memory that does not grow with the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .conftest import Running

pytestmark = pytest.mark.timeout(900)
COUNT = 100_000
LISTING = """
import resource, sys
from pathlib import Path
from scigate.storage_backends.layers import Meter
from scigate.gateway_api.listings import Listings
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.storages import Storages
from scigate.storage_backends.registry import BackendRegistry
registry = BackendRegistry()
settings = Settings.parse(f'[storages.lab]\\ntype = "posix"\\nroot = "{sys.argv[1]}"', registry=registry)
storage = Storages(settings.storages, registry).get("lab")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
listings = Listings()
listings.page(storage, "few/", None, recursive=False, limit=1000)
before, after, count = peak(), None, 0
while True:
    page = listings.page(storage, "many/", after, recursive=False, limit=1000)
    count += len(page.items)
    after = page.next
    if after is None:
        break
print(count, (peak() - before) >> 10)
"""


@pytest.fixture(scope="module")
def many(gateway: Running) -> Path:
    folder = gateway.folder / "lab" / "many"
    folder.mkdir()
    (gateway.folder / "lab" / "few").mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(COUNT):
        os.mknod(f"file-{number:06}", 0o600, dir_fd=descriptor)
    os.close(descriptor)
    return folder


def test_it_is_listed_in_pages_each_entry_once(gateway: Running, many: Path) -> None:
    client = gateway.client("ada")
    seen: set[str] = set()
    count = pages = 0
    following: str | None = "/api/v1/files/lab/many/"
    while following:
        answer: httpx.Response = client.get(following)
        items = answer.json()["items"]
        assert len(items) <= 1000
        seen.update(item["name"] for item in items)
        count, pages = count + len(items), pages + 1
        following = answer.links.get("next", {}).get("url")
    assert (count, len(seen), pages) == (COUNT, COUNT, 100)


def test_memory_does_not_grow_with_the_folder(gateway: Running, many: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LISTING, str(many.parent)], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == COUNT
    assert grown < 64, f"the process grew by {grown} MiB"
