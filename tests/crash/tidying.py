"""What people do to files at their storages without a transfer: remove, rename, make a folder. Each has one outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Final

from .case import Content
from .checker import content_of
from .client import NOT_ANSWERED, Client
from .ground import World
from .plan import Planner

FILES: Final = "/api/v1/files"
PASSING: Final = frozenset({429, 500, 502, 503})


class Tidying:
    """One request, repeated until it is answered, and what has to be there then."""

    def __init__(self, world: World, planner: Planner, key: str, storage: str) -> None:
        self._world, self._key, self._storage = world, key, storage
        self._old, self._new = f"{key}/old", f"{key}/new"
        self._content = world.ground.contents["small.bin"]
        self.begun = self._done = False
        planner._have(storage, self._old, "small.bin")

    def do(self, client: Client, over: threading.Event) -> None:
        """Ask until it is answered."""
        self.begun = True
        while not over.is_set() and not self._done:
            try:
                status, _ = client.ask(*self._request())
                self._done = status not in PASSING
            except NOT_ANSWERED:
                pass
            over.wait(0.05)

    def judge(self) -> Iterator[str]:
        """Every violation."""
        if not self._done:
            yield f"I0 {self._key}: {type(self).__name__} was never answered"
        found = {path: self._look(path) for path in self._outcome()}
        if found != self._outcome():
            yield f"I6 {self._key}: {type(self).__name__} left {found} at {self._storage}"

    def _request(self) -> tuple[str, str, bytes]:
        raise NotImplementedError

    def _outcome(self) -> dict[str, Content | None]:
        raise NotImplementedError

    def _look(self, path: str) -> Content | None:
        if self._storage == "desk":
            place = self._world.desk / path
            return content_of([place.read_bytes()]) if place.is_file() else None
        client = self._world.bucket.client()
        where = {"Bucket": self._world.bucket.bucket, "Prefix": self._world.key(path)}
        if not any(one["Key"] == where["Prefix"] for one in client.list_objects_v2(**where).get("Contents", ())):
            return None
        return content_of([client.get_object(Bucket=where["Bucket"], Key=where["Prefix"])["Body"].read()])


class Removed(Tidying):
    """DELETE of a file."""

    def _request(self) -> tuple[str, str, bytes]:
        return "DELETE", f"{FILES}/{self._storage}/{self._old}", b""

    def _outcome(self) -> dict[str, Content | None]:
        return {self._old: None}


class Renamed(Tidying):
    """A file gets another name."""

    def _request(self) -> tuple[str, str, bytes]:
        names = {"source": f"{self._storage}:/{self._old}", "destination": f"{self._storage}:/{self._new}"}
        return "POST", "/api/v1/moves", json.dumps(names).encode()

    def _outcome(self) -> dict[str, Content | None]:
        return {self._old: None, self._new: self._content}


class Made(Tidying):
    """A folder is made; the file beside it stays."""

    def _request(self) -> tuple[str, str, bytes]:
        return "POST", f"{FILES}/{self._storage}/{self._new}/", b""

    def _outcome(self) -> dict[str, Content | None]:
        return {self._old: self._content}

    def judge(self) -> Iterator[str]:
        yield from super().judge()
        if self._storage == "desk" and not (self._world.desk / self._new).is_dir():
            yield f"I6 {self._key}: the folder was not made"


TIDYING: Final[dict[str, Callable[[World, Planner, str, str], Tidying]]] = {
    "removed": Removed, "renamed": Renamed, "made": Made,
}  # fmt: skip
