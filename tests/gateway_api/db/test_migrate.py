"""The migrations make exactly the tables of the schema, however often and by however many they are run."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from scigate.gateway_api.db import migrate as module
from scigate.gateway_api.db.database import Database
from scigate.gateway_api.db.migrate import migrate, newest_revision, revision
from scigate.gateway_api.db.schema import metadata
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.settings_errors import SettingsError
from scigate.gateway_api.transfers.store import TransferStore
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError

MIGRATE = "import sys; from scigate.gateway_api.db.migrate import migrate; input(); migrate(sys.argv[1])"


def differences(url: str) -> list[object]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


def test_migrations_make_what_the_schema_says(url: str) -> None:
    migrate(url)
    assert differences(url) == []
    assert revision(url) == newest_revision()


def test_the_comparison_would_see_a_difference(url: str) -> None:
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_file_queue")
        connection.exec_driver_sql("ALTER TABLE lane ADD COLUMN extra TEXT")
    engine.dispose()
    assert len(differences(url)) == 2


def test_an_empty_database_has_no_revision(url: str, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    assert revision(url) is None


def test_migrating_again_changes_nothing(url: str) -> None:
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO lane (owner, source, destination) VALUES ('ada', 'a', 'b')")
    migrate(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT owner FROM lane").scalars().all() == ["ada"]
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_a_database_of_a_newer_version_is_named_and_left_alone(url: str) -> None:
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(SettingsError, match=r"newer version of SciGate .*'9999'"):
        migrate(url)
    assert revision(url) == "9999"


def test_what_an_older_version_has_written_is_read_as_ever(url: str) -> None:
    module._prepare_folder(url)
    module._with_connection(url, lambda connection: command.upgrade(module._config(connection), "0003"))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO lane (id, owner, source, destination) VALUES (1, 'ada', 'lab', 'out')")
        connection.exec_driver_sql(
            "INSERT INTO transfer (id, owner, wish, settled, overwrite, verify, priority, created, deadline, total,"
            " queued) VALUES ('t', 'ada', 'run', true, 'fail', 'auto', 5, 1, 2, 1, 1)"
        )
    engine.dispose()
    migrate(url)
    database = Database(url)
    found = TransferStore(database, lambda storage, path: None).get("t", "ada")
    database.close()
    assert (found.state, found.not_before, found.cause) == (TransferState.QUEUED, None, None)
    assert found.deadline.timestamp() == 2


def test_several_gateways_may_migrate_at_once(url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    said = [process.communicate(timeout=200)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, "\n".join(said)
    assert differences(url) == []


def test_all_revisions_are_one_transaction(url: str) -> None:
    module._prepare_folder(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE manifest (id INTEGER)")  # of somebody else: revision 0003 cannot be
    with pytest.raises(DBAPIError, match="manifest"):
        migrate(url)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["manifest"], "between two of them another gateway may begin"
    engine.dispose()


def test_the_folder_of_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'new' / 'scigate.db'}")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
