"""Options of the crash tests, and what their runs share."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scigate.storage_backends.testing.servers import S3Server

from .ground import EXPIRES, EXPIRES_SOON, Ground, World, ground, make_world
from .point_run import PointRun
from .power import CannotMount, PowerRun, volumes
from .process import Nursery
from .run import Result, Run
from .scenes import Target
from .syscalls import Injection, SyscallRun
from .zombie import InATransaction, Scene, Zombie

if TYPE_CHECKING:
    import psycopg

SLICE = 64  # kills of a usual test run, over all databases
SEED = 1_000
TRIES = 3  # of a zombie that must not stand in a transaction
OCCURRENCES = 3  # of each point in the full runs
CUTS = 12  # of the power, in a usual test run
SLOWER = ("test_mutants", "test_frozen", "test_frozen_points")
RunMaker = Callable[..., AbstractContextManager[Run]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crash", "kills at random moments")
    group.addoption("--kills", type=int, default=SLICE, help=f"kills in all (default {SLICE})")
    group.addoption("--seed", type=int, default=SEED, help=f"seed of the first run (default {SEED})")
    group.addoption("--power", type=int, default=CUTS, help=f"power cuts in all (default {CUTS})")
    group.addoption("--points", nargs="?", const="all", help="every crash point, or 'POINT OCCURRENCE STORAGE, …'")
    group.addoption("--occurrences", type=int, default=OCCURRENCES, help="of each point, with --points (default 3)")
    group.addoption("--mutants", action="store_true", help="also put mistakes into gateways, freeze them; minutes")
    group.addoption("--results", type=Path, help="a file that gets a line of JSON about each run")
    group.addoption("--keep", action="store_true", help="keep the folders of runs that were good as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slower files wait for ``--mutants``, unless they are asked for by name; ``--points`` is about those alone."""
    if config.getoption("--points", None):
        others = [item for item in items if item.path != Path(__file__).with_name("test_points.py")]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)
        return
    if config.getoption("--mutants", False) or any(name in argument for argument in config.args for name in SLOWER):
        return
    later = [item for item in items if item.path.parent == Path(__file__).parent and item.path.stem in SLOWER]
    items[:] = [item for item in items if item not in later]
    config.hook.pytest_deselected(items=later)


# The options exist only when pytest is told to run this folder: hence the defaults here as well.


@pytest.fixture(scope="session")
def kills(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--kills", SLICE))


@pytest.fixture(scope="session")
def cuts(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--power", CUTS))


@pytest.fixture(scope="session")
def occurrences(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--occurrences", OCCURRENCES))


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether this is no usual test run, but one that may take as long as it takes."""
    return bool(pytestconfig.getoption("--mutants", False))


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--seed", SEED))


@pytest.fixture(scope="session")
def crash_ground(require: Callable[[str], Path], shared_server: Callable[[str], S3Server]) -> Iterator[Ground]:
    """Sources and servers; skips without SeaweedFS or rclone."""
    require("rclone")
    folder = Path(tempfile.mkdtemp(prefix="scigate-crash-"))
    try:
        with ground(folder, shared_server("seaweedfs")) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def nursery(crash_ground: Ground) -> Iterator[Nursery]:
    made = Nursery(crash_ground.folder)
    yield made
    made.close()


@pytest.fixture
def judged(crash_ground: Ground, request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``judged(seed, kind, kills, freezes=0, database=None, mutant="", …)`` is the result of one run in a world of its
    own. ``kind`` makes it: ``kind(world, seed, mutant=…, …)`` gives a context that has a ``Run``.

    The folder of a run that is judged bad is kept, with its history, its log and its SQLite database.
    """

    def run(
        seed: int, kind: RunMaker, kills: int, freezes: int = 0, *, database: str | None = None, **options: Any
    ) -> Result:
        expires = options.pop("expires", EXPIRES_SOON if "left" in options.get("kinds", ()) else EXPIRES)
        with _world(crash_ground, database, expires) as world, kind(world, seed, **options) as made:
            result, begun = Result(seed, violations=["the run broke off"]), time.monotonic()
            try:
                result = made.execute(kills, freezes)
            finally:
                result.seconds = time.monotonic() - begun
                if (result.violations and not options.get("mutant")) or request.config.getoption("--keep", False):
                    _keep(world, result)
                _tell(request.config.getoption("--results", None), database, result)
            return result

    return run


@pytest.fixture
def crash(nursery: Nursery, judged: Callable[..., Result]) -> Callable[..., Result]:
    """``crash(seed, kills, freezes=0, database=None, mutant="", kinds=…)`` is the result of one run."""

    def run(seed: int, kills: int, **options: Any) -> Result:
        return judged(
            seed, lambda world, *its, **more: nullcontext(Run(world, nursery, *its, **more)), kills, **options
        )

    return run


@pytest.fixture
def point_run(nursery: Nursery, judged: Callable[..., Result]) -> Callable[..., Result]:
    """``point_run(seed, targets, database=None, twice=False)`` is the result of a run with a kill at each target."""

    def run(seed: int, targets: Sequence[Target], **options: Any) -> Result:
        def made(world: World, *its: Any, **more: Any) -> AbstractContextManager[Run]:
            return nullcontext(PointRun(world, nursery, *its, targets=targets, **more))

        return judged(seed, made, len(targets), **options)

    return run


@pytest.fixture
def power(nursery: Nursery, judged: Callable[..., Result]) -> Callable[..., Result]:
    """``power(seed, cuts, split, points=…, mutant="", kinds=…)`` is the result of one run with power cuts; skips where
    file systems of our own cannot be mounted."""

    def run(seed: int, cuts: int, split: str, **options: Any) -> Result:
        @contextmanager
        def made(world: World, *its: Any, **more: Any) -> Iterator[Run]:
            with volumes(world, split) as disks:
                yield PowerRun(world, nursery, *its, disks, **more)

        try:
            return judged(seed, made, cuts, **options)
        except CannotMount as error:
            pytest.skip(str(error))

    return run


@pytest.fixture
def syscalls(nursery: Nursery, judged: Callable[..., Result], require: Callable[[str], Path]) -> Callable[..., Result]:
    """``syscalls(seed, injections, kinds=…)`` is the result of one run with a gateway for each injection."""
    strace = require("strace")

    def run(seed: int, injections: Sequence[Injection], **options: Any) -> Result:
        def made(world: World, *its: Any, **more: Any) -> AbstractContextManager[Run]:
            return nullcontext(SyscallRun(world, nursery, *its, strace, injections, **more))

        return judged(seed, made, len(injections), **options)

    return run


@pytest.fixture
def world(crash_ground: Ground) -> Callable[..., AbstractContextManager[World]]:
    """``world(database)`` is a context that has empty storages."""
    return lambda database=None: _world(crash_ground, database, EXPIRES)


@pytest.fixture
def zombie(crash_ground: Ground, nursery: Nursery) -> Callable[..., list[str]]:
    """``zombie(seed, scene, database=None, mutant="")`` are the violations of one scene."""

    def play(seed: int, scene: Scene, *, database: str | None = None, mutant: str = "") -> list[str]:
        for _ in range(TRIES):
            with suppress(InATransaction):
                return once(seed, scene, database, mutant)
        pytest.skip(f"it stood still in a transaction of SQLite {TRIES} times")

    def once(seed: int, scene: Scene, database: str | None, mutant: str) -> list[str]:
        with _world(crash_ground, database, EXPIRES) as world:
            found = Zombie(world, nursery, seed, scene, mutant).violations()
            if found and not mutant:
                _keep(world, Result(seed, violations=found))
            return found

    return play


@contextmanager
def _world(ground: Ground, database: str | None, expires: int) -> Iterator[World]:
    world = make_world(ground, ground.folder / f"run-{secrets.token_hex(4)}", database, expires)
    try:
        yield world
    finally:
        shutil.rmtree(world.folder)


def _tell(results: Path | None, database: str | None, result: Result) -> None:
    if results is not None:
        line = {"database": "postgresql" if database else "sqlite", **vars(result), "kept": str(result.kept)}
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _keep(world: World, result: Result) -> None:
    kept = Path(tempfile.gettempdir()) / f"scigate-crash-seed-{result.seed}-{world.folder.name}"
    kept.mkdir()
    (kept / "violations").write_text("\n".join(result.violations) + "\n")
    for name in ("history.jsonl", "gateway.log", "scigate.toml"):
        shutil.copy(world.folder / name, kept)
    if (world.state / "scigate.db").exists():
        shutil.copy(world.state / "scigate.db", kept)
    result.kept = kept


@pytest.fixture
def new_database(postgresql: str) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases; gives their URLs."""
    import psycopg

    made: list[str] = []

    def make() -> str:
        made.append(f"crash_{secrets.token_hex(6)}")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{made[-1]}" TEMPLATE template0')  # nobody is ever in that one
        return postgresql.rsplit("/", 1)[0] + f"/{made[-1]}?connect_timeout=120"  # a gateway that starts is as patient

    server = postgresql.replace("+psycopg", "")
    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            _drop(connection, name)


def _drop(connection: psycopg.Connection, name: str) -> None:
    """Again while the database is still in use: what a killed gateway has left there may need its time to end."""
    from psycopg.errors import ObjectInUse

    for last in [False] * 23 + [True]:  # each waits for 5 s
        try:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        except ObjectInUse:
            if last:
                raise
        else:
            return
