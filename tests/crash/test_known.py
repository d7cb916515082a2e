"""Every transition and every named place has its crash points, and the list of them is complete."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate
from scigate.gateway_api.db.schema import file
from scigate.gateway_api.resources import Cause, FileRequest, FileState, TransferRequest
from scigate.gateway_api.transfers import submission
from scigate.gateway_api.transfers.ledger import Held, Move, write_moves
from scigate.gateway_api.transfers.machine import ARROWS, Failure, What
from scigate.gateway_api.transfers.store import TransferStore
from scigate.storage_backends import crash_points
from scigate.storage_backends.errors import ErrorKind
from sqlalchemy import select, update

from .known import KNOWN, UNREACHED, WITHIN
from .scenes import MAKERS, PLACES, scene_of, targets
from .tidying import TIDYING

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("gateway_api/scigate/**/*.py"), *ROOT.glob("storage_backends/scigate/**/*.py")]
MADE = {"gateway_api/db/points.py", "layers/crash.py"}
"""Where names are put together from what is counted elsewhere."""
FAILURE = Failure(ErrorKind.TRANSIENT, Cause(code="x", message="X.", retriable=True, next_step="Y."))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/scigate.db"
    migrate(url)
    made = Database(url)
    yield made
    made.close()


def _file_in(database: Database, state: FileState) -> Held:
    """A file that has come to this state somehow."""
    request = TransferRequest(files=[FileRequest(source="a:/f", destination="b:/f")])
    read = submission.read(request, may_read=lambda _: None, may_write=lambda _: None, check_url=lambda _: None)
    TransferStore(database, lambda storage, path: None).submit("ada", read, key=None, fingerprint="")
    with database.read() as connection:
        row = connection.execute(select(file).order_by(file.c.seq.desc()).limit(1)).one()
    database.write(lambda connection: connection.execute(update(file).values(state=state)))
    return Held(row.seq, row.transfer, state, row.epoch, 1, 0, staged=True)


def test_every_transition_has_its_points(database: Database) -> None:
    reached: list[str] = []
    writer = database.write(lambda _: threading.current_thread())

    def note(point: str) -> None:
        if threading.current_thread() is writer:  # other tests' gateways may run on in this process
            reached.append(point)

    for (state, what), _ in ARROWS.items():
        held = _file_in(database, state)
        failing = (What.FAILURE, What.STARVED, What.SCHEDULED, What.EXPIRED)
        move = Move(held, what, failure=FAILURE if what in failing else None)
        crash_points.arm(note)
        try:
            database.write(lambda connection, move=move: write_moves(connection, [move], 0.0))  # type: ignore[misc]
        finally:
            crash_points.arm(None)
    assert reached == [f"file.{state}.{what}:{when}" for state, what in ARROWS for when in ("written", "committed")]
    assert set(reached) <= KNOWN


def _literals() -> Iterator[tuple[str, str]]:
    """(file, name) of every point that the source names."""
    for path in SOURCES:
        if any(str(path).endswith(end) for end in MADE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("reached", "points.written"):
                for argument in node.args[1:] if ast.unparse(node.func) == "points.written" else node.args:
                    yield path.name, ast.unparse(argument)


def test_every_point_that_the_source_names_is_known() -> None:
    found = list(_literals())
    plain = {ast.literal_eval(text) for _, text in found if text.startswith(("'", '"'))}
    points = {point for name in plain for point in ([name] if name in WITHIN else _of_row(name))}
    assert points <= KNOWN, f"not in tests/crash/known.py: {sorted(points - KNOWN)}"
    made = {(name, text) for name, text in found if not text.startswith(("'", '"'))}
    assert made == {("ledger.py", "*_arrows(changes)"), ("store.py", "f'transfer.{wish}'")}
    known = {
        point for point in KNOWN if point.startswith(("file.", "transfer.")) or point.split(":")[0] in _operations()
    }
    assert points | known == KNOWN, f"nowhere in the source: {sorted(KNOWN - points - known)}"


def _of_row(name: str) -> list[str]:
    return [f"{name}:written", f"{name}:committed"]


def _operations() -> frozenset[str]:
    from scigate.storage_backends.layers.crash import CHANGES

    return CHANGES


def test_every_point_is_reached_by_a_scene_or_has_a_reason() -> None:
    for point in KNOWN:
        without = [pattern for pattern in UNREACHED if fnmatchcase(point, pattern)]
        scene = scene_of(point)
        assert scene.kind in MAKERS or scene.kind in TIDYING, point
        assert bool(without) != any(target.point == point for target in targets(1, 0)), point
        assert not scene.after or scene.after in KNOWN
        assert not scene.when or scene.when in set(FileState)


def test_every_pattern_is_needed() -> None:
    for pattern in UNREACHED:
        assert any(fnmatchcase(point, pattern) for point in KNOWN), pattern
    used = {next(pattern for pattern in PLACES if fnmatchcase(point, pattern)) for point in KNOWN}
    assert used == set(PLACES)
