"""Settings: everything wrong is said at once, in sentences, and no secret is shown."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from scigate.gateway_api.settings import Settings, find, token_hash
from scigate.gateway_api.settings_errors import SettingsError
from scigate.storage_backends.registry import BackendRegistry

CANARY = "canary-secret-0123456789"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", CANARY)


MEMORY = "[storages.m]\ntype = 'memory'\n"
S3 = "[storages.s]\ntype = 's3'\n"
ADA = "[users.a]\ntoken = { env = 'SECRET' }\n"


def wrong(text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        Settings.parse(text)
    assert CANARY not in str(raised.value)
    assert "hunter2" not in str(raised.value)
    return list(raised.value.problems)


def test_nothing_is_needed() -> None:
    settings = Settings.parse("")
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8470)
    assert settings.database_url.reveal().startswith("sqlite:////")
    assert settings.limits.retry_for == timedelta(days=7)
    assert settings.source is None


def test_units() -> None:
    limits = Settings.parse('[limits]\nbatch_bytes = "3.5 MiB"\nbody_max = "2MB"\nretry_for = "36h"').limits
    assert (limits.batch_bytes, limits.body_max) == (3_670_016, 2_000_000)
    assert limits.retry_for == timedelta(hours=36)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gatway]\nport = 1", "gatway: this key is unknown. Did you mean 'gateway'?"),
        ("[gateway]\nprot = 1", "gateway.prot: this key is unknown. Did you mean 'port'?"),
        ("[gateway]\nport = 70000", "gateway.port: input should be less than or equal to 65535."),
        (MEMORY + "capacty = 1", "storages.m.capacty: this key is unknown. Did you mean 'capacity'?"),
        (MEMORY + "read_onl = true", "storages.m.read_onl: this key is unknown. Did you mean 'read_only'?"),
        ("[storages.m]\ntype = 'memroy'", "there is no storage backend 'memroy'. Did you mean 'memory'?"),
        ("[storages.m]\nsummary = ''", "storages.m.type: this key is missing."),
        (MEMORY + "capacity = -1", "storages.m.capacity: input should be greater than or equal to 0."),
        ("[limits]\nbatch_bytes = true", "limits.batch_bytes: write a size"),
        (MEMORY + "options = 1", "storages.m.options: this key is unknown."),
        ("[storages.Big]\ntype = 'memory'", "storages.Big: this name is not allowed"),
        ("[storages.staging]\ntype = 'memory'", "the name 'staging' is reserved"),
        ("[storages.outside]\ntype = 'memory'", "the name 'outside' is reserved"),
        (MEMORY + "users = ['*', 'a b']", "storages.m.users[1]: write '*'"),
        ("storages = 3", "storages: it must be a table."),
        ("[storages]\nm = 3", "storages.m: it must be a table."),
        ("[users.a]", "users.a: give either token"),
        ("[users.a]\ntoken = 'hunter2hunter2hunter2'", "users.a.token: a secret is written"),
        ("[users.a]\ntoken = { env = 'NOT_SET' }", "the environment variable NOT_SET is not set"),
        ("[users.a]\ntoken = { file = '/none' }", "the secret file /none cannot be read"),
        ("[users.a]\ntoken_hash = 'sha256:abc'", "users.a.token_hash: write"),
        (ADA + "roles = ['boss']", "users.a.roles[0]"),
        (ADA + "[users.b]\ntoken = { env = 'SECRET' }", "users.b: this is the token of 'a'"),
        ("[database]\nurl = 'postgresql://a:hunter2@b/c'", "database.url: it holds a password"),
        ("[database]\nurl = 'postgresql://b/c?password=hunter2'", "database.url: it holds a password"),
        ("[database]\nurl = 'nonsense'", "database.url: this is not a database URL"),
        ("[database]\nurl = 'mysql://h/d'", "database.url: it is of neither SQLite nor PostgreSQL."),
        ("[database]\nurl = { env = 'SECRET' }", "database.url: it is of neither SQLite nor PostgreSQL."),
        (MEMORY + "users = 'ada'", 'storages.m.users: it must be a list, such as ["anna"].'),
        (S3 + "bucket = 'x'", "storages.s.bucket: it is too short, too long, or holds characters"),
        (S3 + "bucket = 3", "storages.s.bucket: it must be text in quotes."),
        ("[gateway]\nport = 'many'", "gateway.port: it must be a whole number."),
        ("[limits]\nbatch_bytes = '3 bananas'", "limits.batch_bytes: write a size"),
        ("[limits]\nretry_for = 7", "limits.retry_for: write a duration"),
        ("[limits]\nmax_active = 0", "limits.max_active: input should be greater than or equal to 1."),
        ("[egress]\nallow = ['x y']", "egress.allow[0]"),
        ("[executor]\ntype = 'cloud'", "executor.type: input should be 'local'."),
        ("[gateway]\nhost = '0.0.0.0'", "gateway.public_url: it is missing."),
        ("[gateway]\npublic_url = 'here'", "gateway.public_url: write a URL"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(text: str, expected: str) -> None:
    problems = wrong(text)
    assert any(expected in problem for problem in problems), problems


def test_all_mistakes_are_said_at_once() -> None:
    text = "[gateway]\nprot = 1\n[limits]\nstreams = 0\n[storages.m]\ntype = 'memory'\ncapacty = 1\n[users.a]\n"
    assert len(wrong(text)) == 4


def test_a_syntax_error_says_where() -> None:
    (problem,) = wrong("[gateway]\nport = \n")
    assert "line 2" in problem


def test_secrets_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", url := f"postgresql+psycopg://u:{CANARY}@h/d")
    (tmp_path / "token").write_text(CANARY + "\n")
    text = f"""
[database]
url = {{ env = "SECRET" }}
[users.a]
token = {{ file = "{tmp_path}/token" }}
"""
    settings = Settings.parse(text)
    shown = repr(settings) + str(settings) + settings.model_dump_json() + str(settings.model_dump())
    assert CANARY not in shown
    assert settings.database_url.reveal() == url
    assert len(token_hash(settings.users["a"])) == 64


def test_settings_do_not_change() -> None:
    settings = Settings.parse("")
    with pytest.raises(ValueError, match="frozen"):
        settings.gateway.port = 1  # type: ignore[misc]


def test_a_short_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "hunter2")
    assert "at least 16 characters" in wrong("[users.a]\ntoken = { env = 'SHORT' }")[0]


class BrokenPoint:
    """An installed plug-in that cannot be imported."""

    name, value = "broken", "nowhere:TYPE"

    def load(self) -> object:
        raise ImportError("no module named 'nowhere'")


def test_a_broken_plugin_keeps_only_its_own_storages_from_working() -> None:
    registry = BackendRegistry([BrokenPoint()])  # type: ignore[list-item]
    settings = Settings.parse("[storages.b]\ntype = 'broken'\nanything = 1", registry=registry)
    assert settings.storages["b"].options is None
    assert "nowhere" in registry.broken["broken"]


def test_where_settings_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCIGATE_CONFIG", raising=False)
    assert find() is None
    usual = tmp_path / ".config" / "scigate" / "scigate.toml"
    usual.parent.mkdir(parents=True)
    usual.touch()
    assert find() == usual
    (tmp_path / "scigate.toml").touch()
    assert find() == Path("scigate.toml")
    monkeypatch.setenv("SCIGATE_CONFIG", "/elsewhere.toml")
    assert find() == Path("/elsewhere.toml")
    assert find(Path("/given.toml")) == Path("/given.toml")


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Settings.load(tmp_path / "none.toml")
    monkeypatch.setenv("SCIGATE_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Settings.load()
    (tmp_path / "latin").write_bytes(b"# \xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        Settings.load(tmp_path / "latin")


def test_the_documented_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCIGATE_ARCHIVE_SECRET", "SCIGATE_ANNA_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    path = ROOT / "docs" / "reference" / "scigate.toml"
    settings = Settings.load(path)
    assert settings.source == path
    assert set(settings.storages) == {"lab", "archive"}
    defaults = Settings.parse("")
    for section in ("limits", "egress", "executor"):
        assert getattr(settings, section) == getattr(defaults, section), f"[{section}] shows other values than defaults"


def test_the_documented_example_names_every_key() -> None:
    text = (ROOT / "docs" / "reference" / "scigate.toml").read_text()
    for name, field in Settings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        assert f"[{name}" in text
        assert [key for key in keys if f"{key} = " not in text] == []
    assert os.sep not in text.splitlines()[0]
