"""A gateway that stands still at an exact point while another one does its work, and then goes on as if nothing was."""

from __future__ import annotations

import sqlite3
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import checker
from .case import Case, Content, Operation
from .ground import LEASE, World
from .history import History
from .plan import Planner
from .points import StopAt
from .process import GatewayProcess, Nursery
from .sending import all_finished, submit

PATIENCE: Final = 480.0  # seconds for each thing that has to come to pass
AWAKE: Final = LEASE / 2  # seconds in which one that woke up does the harm that it would do


class InATransaction(Exception):
    """Another thread of the zombie stands in a transaction of SQLite."""


@dataclass(frozen=True)
class Scene:
    """What is copied where, and where the first gateway stands still."""

    point: str
    target: str
    path: str
    overwrite: str = "fail"


@dataclass(frozen=True)
class Sight:
    """All that must stay as it is when a zombie wakes up."""

    content: Content | None
    version: object
    """Inode and time of the file, or ETag of the object."""
    rows: list[Any]
    """The file's row and its journal."""


class Plans(Planner):
    """Operations that leave nothing to chance."""

    def of(self, scene: Scene) -> Operation:
        old = "mid.bin" if scene.overwrite == "overwrite" else None
        made = self._single("zombie", scene.path, "lab:/", scene.target, old=old, overwrite=scene.overwrite)
        made.kind = f"{scene.point} {scene.target}"
        return made


class Zombie:
    """The two gateways of one scene."""

    def __init__(self, world: World, nursery: Nursery, seed: int, scene: Scene, mutant: str = "") -> None:
        self._world, self._nursery, self._scene, self._mutant = world, nursery, scene, mutant
        self._operation = Plans(world, seed).of(scene)
        self._history = History(world.folder / "history.jsonl")
        self._other_port = int(tomllib.loads(world.other_config.read_text())["gateway"]["port"])

    def violations(self) -> list[str]:
        """Play the scene; what it broke."""
        first = self._start(self._world.config, StopAt(self._scene.point))
        second = None
        try:
            submit(self._world.port, self._history, self._operation)
            _until(first.stands_still, f"{self._scene.point} is reached")
            if not self._others_can_write():
                raise InATransaction
            second = self._start(self._world.other_config)
            _until(lambda: all_finished(self._other_port, self._history), "the other gateway finishes the work")
            before = self._look()
            first.thaw()
            _until(self._is_back, "the zombie has a lease again")
            time.sleep(AWAKE)
            found = _differences(before, self._look())
        finally:
            ended = [_end(gateway) for gateway in (first, second) if gateway is not None]
            self._history.close()
        late = _differences(before, self._look())  # what it may have done on its way out
        wrong = checker.check(self._case(), self._history.acknowledged)
        return [*found, *late, *wrong, *([] if all(ended) else ["I0 a gateway did not stop when asked to"])]

    def _start(self, config: Path, plan: object = "") -> GatewayProcess:
        return self._nursery.start(config, self._world.folder / "gateway.log", self._mutant, plan)

    def _others_can_write(self) -> bool:
        """On SQLite a gateway that happens to stand still in a transaction keeps everybody out until it goes on."""
        url = self._world.database
        if not url.startswith("sqlite:///"):
            return True
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.2)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.rollback()
            return True

    def _is_back(self) -> bool:
        return len(checker.Tables(self._world.database).workers) == 2

    def _look(self) -> Sight:
        tables, (piece,) = checker.Tables(self._world.database), self._operation.pieces
        rows: list[Any] = [*tables.files, *(event for event in tables.events if event["file"] is not None)]
        if piece.is_object:
            client, place = self._world.bucket.client(), {"Bucket": self._world.bucket.bucket, "Key": piece.place}
            found = client.get_object(**place)
            return Sight(checker.content_of(found["Body"].iter_chunks(1 << 20)), found["ETag"], rows)
        path = Path(piece.place)
        status = path.stat()
        version = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        return Sight(checker.content_of([path.read_bytes()]), version, rows)

    def _case(self) -> Case:
        world = self._world
        folders = (str(world.state / "staging"), str(world.state / "workers"))
        return Case(world.database, world.bucket, (str(world.desk),), *folders, [self._operation])


def _end(gateway: GatewayProcess) -> bool:
    """Ask it to end; whether it did."""
    gateway.thaw()
    ended = gateway.stop()
    gateway.kill()
    return ended


def _differences(before: Sight, after: Sight) -> list[str]:
    found = []
    if after.content != before.content:
        found.append("I2 the zombie changed the content of what was DONE")
    if after.version != before.version:
        found.append(f"I3 the zombie published again: {before.version} became {after.version}")
    if after.rows != before.rows:
        found.append("I9 the zombie wrote into the records of a file that was DONE")
    return found


def _until(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come to pass within {PATIENCE} s that {what}")
        time.sleep(0.05)
