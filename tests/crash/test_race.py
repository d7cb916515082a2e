"""Eight gateways that start at once on one database: every file has one owner at a time and is published once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evidence import record

from . import checker
from .case import Case, Operation, Piece
from .checker import DRAFT
from .ground import World, settings_of
from .history import History
from .process import Nursery
from .race import Publications
from .sending import all_finished, submit

ENGINES = 8
TRANSFERS = 8
PATIENCE = 480.0


def operations_in(world: World) -> list[Operation]:
    """Many small files, all of them at the desk, and a few large ones."""
    contents, made = world.ground.contents, []
    for number in range(TRANSFERS):
        key, paths = f"race-{number}", [*world.ground.many[:40], *(["mid.bin"] if number % 4 == 0 else [])]
        names = {path: f"{key}/{path.replace('/', '_')}" for path in paths}
        pieces = [Piece("desk", n, str(world.desk / n), False, contents[path]) for path, n in names.items()]
        files = [(f"lab:/{path}", f"desk:/{name}") for path, name in names.items()]
        made.append(Operation(key, "race", pieces, files))
        (world.desk / key).mkdir()
    return made


def workers_of(database: str) -> int:
    return len(checker.Tables(database).workers)


@pytest.mark.timeout(0)
def test_one_owner_and_one_publication(
    world: Callable[..., Any], nursery: Nursery, new_database: Callable[[], str], seed: int
) -> None:
    begun = time.monotonic()
    with world(new_database()) as made:
        operations, history = operations_in(made), History(made.folder / "history.jsonl")
        counting = Publications([made.desk / operation.key for operation in operations])
        gateways = [nursery.start(made.config, made.folder / "gateway.log")]
        try:
            for operation in operations[: TRANSFERS // 2]:
                submit(made.port, history, operation)
            gateways.pop().kill()  # it has begun; the eight take its work over, and fight for the rest
            for config in configs(made):
                gateways.append(nursery.start(config, made.folder / "gateway.log"))
            end, most = time.monotonic() + PATIENCE, 0
            while most < ENGINES and time.monotonic() < end:
                most = max(most, workers_of(made.database))
                time.sleep(0.02)
            for operation in operations[TRANSFERS // 2 :]:
                submit(made.port, history, operation)
            while not all_finished(made.port, history) and time.monotonic() < end:
                time.sleep(0.1)
            ended = [gateway.stop() for gateway in gateways]
        finally:
            for gateway in gateways:
                gateway.kill()
            counting.stop()
            history.close()
        found = judge(made, operations, history, counting)
    files, spent = sum(len(operation.pieces) for operation in operations), time.monotonic() - begun
    record("crash.race", runs=files, bad=len(found), seconds=spent, seed=seed, engines=most)
    assert (found, all(ended), counting.lost) == ([], True, False), f"again: ./run crash --seed {seed} -k test_race"
    assert most >= ENGINES, "all of them worked at the same time"


def configs(world: World) -> list[Path]:
    """Settings of eight gateways, each with a folder and a port of its own; the first has the world's."""
    made = [world.config]
    for number in range(1, ENGINES):
        path = world.folder / f"gateway-{number}.toml"
        path.write_text(settings_of(world, world.folder / f"state-{number}"))
        made.append(path)
    return made


def judge(world: World, operations: list[Operation], history: History, counting: Publications) -> list[str]:
    folders = (str(world.state / "staging"), str(world.state / "workers"))
    case = Case(world.database, world.bucket, (str(world.desk),), *folders, operations)
    final = {place: n for place, n in counting.counted.items() if DRAFT not in place}
    expected = Counter(piece.place for operation in operations for piece in operation.pieces)
    wrong = {place: n for place, n in final.items() if n != expected[place]}
    lacking = expected.keys() - final.keys()
    return [
        *checker.check(case, history.acknowledged),
        *(f"I3 {place} was published {n} times" for place, n in wrong.items()),
        *([f"I3 {len(lacking)} files were never published by a rename"] if lacking else []),
    ]
