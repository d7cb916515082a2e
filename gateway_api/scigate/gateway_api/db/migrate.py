"""Bringing a database to the newest schema, with Alembic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url

from ..settings_errors import SettingsError
from .database import PATIENCE

_LOCK = 0x5C16A7E  # any number: the key of the PostgreSQL advisory lock that lets one gateway migrate at a time


def migrate(url: str) -> None:
    """Create the tables, or bring them to the newest revision; safe to repeat and to run from several gateways.
    ``SettingsError`` if a newer version has made them, which may run beside this one or may have been taken back."""
    _prepare_folder(url)
    try:
        _with_connection(url, lambda connection: command.upgrade(_config(connection), "head"))
    except CommandError as error:
        problem = f"database.url: a newer version of SciGate has used this database ({error}). Install that one again."
        raise SettingsError("The database", [problem]) from None


def revision(url: str) -> str | None:
    """The revision that the database is at; None if it has no tables yet."""
    found: str | None = _with_connection(
        url, lambda connection: MigrationContext.configure(connection).get_current_revision()
    )
    return found


def newest_revision() -> str:
    """The revision that this version of SciGate needs."""
    return str(ScriptDirectory.from_config(_config(None)).get_current_head())


def _with_connection(url: str, act: Callable[[Connection], Any]) -> Any:
    engine = _engine(url)
    try:
        with engine.begin() as connection:  # one for all revisions: between two of them another gateway would begin
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            return act(connection)
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": PATIENCE})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin no transaction before it creates tables

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one gateway migrates, the others wait

    return engine


def _prepare_folder(url: str) -> None:
    database = make_url(url)
    if database.get_backend_name() == "sqlite" and database.database:
        Path(database.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
