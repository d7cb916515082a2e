"""One frozen, validated settings tree from ``scigate.toml``.

Everything that is wrong is said at once, as sentences that name the key. An unknown key is an error with the nearest
right name. A secret is written ``{ env = "NAME" }`` or ``{ file = "path" }`` and is never shown again.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from scigate.storage_backends.backend import GiB, MiB
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.errors import Misconfigured
from scigate.storage_backends.registry import BackendRegistry, Options
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .actor import Role
from .settings_errors import SettingsError, nearest, sentences
from .transfers.egress import EgressPolicy
from .units import Duration, Size

VARIABLE: Final = "SCIGATE_CONFIG"
FILE_NAME: Final = "scigate.toml"
RESERVED: Final = frozenset({"staging", "outside", "http", "https", "file"})  # would be mistaken for something else
SHORTEST_TOKEN: Final = 16
SHORTEST_KEY: Final = 32
DATABASES: Final = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")


def _expanded(path: Path) -> Path:
    return path.expanduser().absolute()


def _database_url(value: object) -> object:
    """A URL in the clear holds no password; else the whole URL is a secret."""
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("this is not a database URL, such as sqlite:////var/lib/scigate/scigate.db") from None
    if url.password is not None or "password" in url.query:
        raise ValueError('it holds a password: put the whole URL into { env = "NAME" } or { file = "path" }')
    return Secret(value)


def _long_enough(token: Secret) -> Secret:
    if len(token.reveal()) < SHORTEST_TOKEN:
        raise ValueError(f"a token has at least {SHORTEST_TOKEN} characters; make one with: openssl rand -hex 32")
    return token


def _a_key(key: Secret) -> Secret:
    if len(key.reveal()) < SHORTEST_KEY:
        raise ValueError(f"a key has at least {SHORTEST_KEY} characters; make one with: openssl rand -hex 32")
    return key


def _matching(pattern: str, rule: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


AbsolutePath = Annotated[Path, AfterValidator(_expanded)]
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
StorageName = Annotated[
    str, _matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "use a-z, 0-9 and '-', at most 63 characters")
]
UserName = Annotated[str, _matching(_NAME, "use letters, digits and '._@-', at most 64 characters")]
Subject = Annotated[str, _matching(rf"\*|(community:)?{_NAME}", "write '*', a user's name or community:NAME")]
TokenHash = Annotated[str, _matching(r"sha256:[0-9a-f]{64}", 'write "sha256:" and 64 hexadecimal digits')]
WebAddress = Annotated[
    str, _matching(r"https?://[^/?#@\s]+(/[^?#\s]*)?", "write a URL such as https://scigate.example.org")
]
FeedbackAddress = Annotated[
    str,
    _matching(
        r"mailto:[^\s<>\"@]+@[^\s<>\"@?]+(\?[^\s<>\"]*)?|https?://[^\s<>\"@]+",
        "write mailto:NAME@HOST or a URL such as https://git.example.org/issues/new",
    ),
]
UrlPath = Annotated[str, _matching(r"/([^?#\s/]+/)*", "write a path that begins and ends with '/', such as /hubs/one/")]
Port = Annotated[int, Field(ge=0, le=65535)]
AtLeastOne = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every table of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class GatewaySection(Section):
    """Where the gateway listens and keeps its state. ``port = 0`` takes a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 8470
    state_dir: AbsolutePath = Path("~/.local/share/scigate").expanduser()
    public_url: WebAddress | None = None
    site: str | None = None
    secret_key: Annotated[Secret, AfterValidator(_a_key)] | None = None
    """What the secrets of webhooks are derived from; without it a key of its own is kept in the state directory."""

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"


class FeedbackSection(Section):
    """Where people tell what they wish (``request``) or what is broken (``report``)."""

    request: FeedbackAddress | None = None
    report: FeedbackAddress | None = None


class DatabaseSection(Section):
    """Where transfers are recorded. Without ``url``: SQLite in the state directory."""

    url: Annotated[Secret, BeforeValidator(_database_url)] | None = None


class StorageSection(Section):
    """What all storages have in common; ``options`` are the backend's own (None: its plug-in is broken)."""

    type: str
    summary: str = ""
    site: str | None = None
    users: tuple[Subject, ...] = ("*",)
    read_only: bool = False
    hidden: bool = Field(default=True, description="false: files and folders whose name begins with '.' are not there")
    max_active: AtLeastOne | None = None
    min_rate: Size | None = Field(default=None, description="bytes per second; slower for a minute counts as stalled")
    presign_downloads: bool = False
    options: InstanceOf[Options] | None = None


class UserSection(Section):
    """Who may use the gateway, and how that is proven: a token, or only its SHA-256."""

    token: Annotated[Secret, AfterValidator(_long_enough)] | None = None
    token_hash: TokenHash | None = None
    communities: tuple[str, ...] = ()
    roles: tuple[Role, ...] = (Role.USER,)
    max_active: AtLeastOne | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> UserSection:
        if (self.token is None) == (self.token_hash is None):
            raise ValueError('give either token = { env = "NAME" } or token_hash = "sha256:…"')
        return self


class LimitsSection(Section):
    """How much at once, how long, how large."""

    max_active: AtLeastOne = 8
    max_uploads_moving: AtLeastOne = 8
    per_user: AtLeastOne | None = None
    per_storage: AtLeastOne = 8
    streams: Annotated[int, Field(ge=1, le=64)] = 4
    batch_files: Annotated[int, Field(ge=1, le=10_000)] = 256
    batch_bytes: Size = 32 * MiB
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    reconcile_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    retry_for: Duration = timedelta(days=7)
    page_max: Annotated[int, Field(ge=1, le=1000)] = 1000
    body_max: Annotated[Size, Field(ge=1024)] = 16 * MiB
    staging_quota: Size = 10 * GiB
    upload_expires: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=7))] = timedelta(days=1)
    uploads_open: AtLeastOne = 1000
    webhooks_per_user: AtLeastOne = 20
    connections: AtLeastOne = 16_000
    event_streams: AtLeastOne = 12_000
    event_streams_per_user: AtLeastOne = 100
    archives: AtLeastOne = 32
    archives_per_user: AtLeastOne = 4
    presign_lifetime: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=7))] = timedelta(minutes=5)


class ExecutorSection(Section):
    """Where the bytes are moved."""

    type: Literal["local"] = "local"


class HubSection(Section):
    """The JupyterHub whose service this gateway is. A hub that starts the gateway says this in the environment."""

    api_url: WebAddress
    api_token: Secret
    service_name: UserName = "scigate"
    base_url: UrlPath = "/"
    service_prefix: UrlPath | None = None
    """Where browsers find the gateway. Default: ``services/NAME/`` below ``base_url``."""
    client_id: str | None = None
    cache: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=15))] = timedelta(seconds=15)
    """How long an answer of the hub is believed; a revoked token is refused after that."""

    @property
    def prefix(self) -> str:
        return self.service_prefix or f"{self.base_url}services/{self.service_name}/"


class Settings(Section):
    """All of ``scigate.toml``."""

    gateway: GatewaySection = GatewaySection()
    database: DatabaseSection = DatabaseSection()
    storages: dict[StorageName, StorageSection] = {}
    users: dict[UserName, UserSection] = {}
    limits: LimitsSection = LimitsSection()
    egress: EgressPolicy = EgressPolicy()
    executor: ExecutorSection = ExecutorSection()
    feedback: FeedbackSection = FeedbackSection()
    hub: HubSection | None = None
    _source: Path | None = PrivateAttr(default=None)

    @property
    def source(self) -> Path | None:
        """The file these settings come from; None: built-in defaults."""
        return self._source

    @property
    def database_url(self) -> Secret:
        return self.database.url or Secret(f"sqlite:///{self.gateway.state_dir / 'scigate.db'}")

    def storages_with_secrets(self) -> list[str]:
        """The names of those that are shown a secret of this machine."""
        sections = self.storages.items()
        return [name for name, one in sections if any(isinstance(value, Secret) for _, value in one.options or ())]

    @classmethod
    def load(cls, path: Path | None = None, *, registry: BackendRegistry | None = None) -> Settings:
        """Read the file at ``path``, else the one ``find`` finds, else the defaults. ``SettingsError`` lists what is
        wrong."""
        path = find(path)
        if path is None:
            return cls()
        settings = cls.parse(_text(path), registry=registry, name=str(path))
        settings._source = path
        return settings

    @classmethod
    def parse(cls, text: str, *, registry: BackendRegistry | None = None, name: str = FILE_NAME) -> Settings:
        """Read settings from TOML text; ``name`` is what errors call it."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(name, [f"This is not TOML: {error}."]) from None
        wrong = _take_options(raw, registry or BackendRegistry())
        try:
            settings = cls.model_validate(raw)
        except ValidationError as error:
            raise SettingsError(name, [*sentences(error, cls), *wrong]) from None
        if wrong or (wrong := list(_contradictions(settings))):
            raise SettingsError(name, wrong)
        return settings


def find(path: Path | None = None) -> Path | None:
    """Where the settings are: ``path``, ``$SCIGATE_CONFIG``, ``./scigate.toml``, ``~/.config/scigate/scigate.toml``."""
    if path is not None:
        return path.expanduser()
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    usual = (Path(FILE_NAME), Path("~/.config/scigate").expanduser() / FILE_NAME)
    return next((candidate for candidate in usual if candidate.is_file()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(str(path), [f"The file cannot be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), ["The file is not UTF-8 text."]) from None


def _take_options(raw: dict[str, Any], registry: BackendRegistry) -> list[str]:
    """Replace each storage's own keys in ``raw`` by its validated ``options``; return what is wrong with them."""
    wrong: list[str] = []
    storages = raw.get("storages")
    if not isinstance(storages, dict):
        return wrong
    for name, table in storages.items():
        if isinstance(table, dict) and isinstance(table.get("type"), str):
            storages[name], found = _split(name, table, registry)
            wrong += found
    return wrong


def _split(name: str, table: Mapping[str, Any], registry: BackendRegistry) -> tuple[dict[str, Any], list[str]]:
    where = ("storages", name)
    common_keys = StorageSection.model_fields.keys() - {"options"}
    common = {key: value for key, value in table.items() if key in common_keys}
    if table["type"] not in registry.names():
        hint = nearest(table["type"], registry.names()) or f" Installed: {', '.join(registry.names())}."
        return common, [f"storages.{name}.type: there is no storage backend {table['type']!r}.{hint}"]
    try:
        options = registry.get(table["type"]).options
    except Misconfigured:
        return common, []  # a broken plug-in keeps only its own storages from working
    try:
        own = options.model_validate({key: value for key, value in table.items() if key not in common_keys})
    except ValidationError as error:
        return common, sentences(error, options, where, also=common_keys)
    return {**common, "options": own}, []


def _contradictions(settings: Settings) -> Iterable[str]:
    """What no single key shows."""
    for name in settings.storages.keys() & RESERVED:
        yield f"storages.{name}: the name {name!r} is reserved. Choose another one."
    seen: dict[str, str] = {}
    for name, user in settings.users.items():
        if (other := seen.setdefault(token_hash(user), name)) != name:
            yield f"users.{name}: this is the token of {other!r} as well. Give each user their own."
    if not settings.gateway.is_loopback and settings.gateway.public_url is None and settings.hub is None:
        yield (
            "gateway.public_url: it is missing. A gateway that listens beyond this machine must know its own URL, "
            'for example public_url = "https://scigate.example.org".'
        )
    if settings.database.url is not None:
        yield from _of_database(settings.database.url)


def _of_database(url: Secret) -> Iterable[str]:
    """Where its driver is none of ours, or is not installed."""
    try:
        name = make_url(url.reveal()).drivername
    except ArgumentError:  # of a secret, which is read only now
        name = ""
    if name not in DATABASES:
        yield "database.url: it is of neither SQLite nor PostgreSQL. Write sqlite:////path or postgresql+psycopg://…"
    elif name == "postgresql+psycopg" and find_spec("psycopg") is None:
        yield "database.url: the driver of PostgreSQL is not installed. Run: pip install 'scigate[postgresql]'"


def token_hash(user: UserSection) -> str:
    """SHA-256 of the user's token in hexadecimal; what requests are compared with."""
    if user.token is not None:
        return sha256(user.token.reveal().encode()).hexdigest()
    return (user.token_hash or "").removeprefix("sha256:")
