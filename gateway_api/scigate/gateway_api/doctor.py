"""Looks at everything a gateway needs and says in words what it found and what to do.

Every check is real: the settings are validated, the database is opened, each storage writes, reads and removes a
file. Nothing is changed that was there before. On a machine that only has the client, only the gateway is looked at.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sized
from concurrent.futures import TimeoutError as TooSlow
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.backend import Backend
from scigate.storage_backends.errors import AlreadyExists, Misconfigured, StorageError
from scigate.storage_backends.registry import BackendRegistry
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from .background import Background
from .client.access import find_token
from .client.errors import GatewayError, NotConfigured
from .db.migrate import newest_revision, revision
from .doctor_gateway import look_at_gateway
from .doctor_key import examine_key
from .resources import Check
from .settings import FILE_NAME, VARIABLE, Settings, StorageSection, find
from .settings_errors import SettingsError
from .state_folder import advice, holds_other_things, is_open
from .storages import check_answers

PATIENCE: Final = timedelta(seconds=20)
DOCTORS: Final = "scigate.doctors"
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ncpfs"}
)
"""File system types on which SQLite's locks and shared memory do not work (sqlite.org/wal.html)."""

BEST_EFFORT: Final = (
    "; it cannot keep what is there by itself (as an S3 server that does not honour If-None-Match), so overwrite=fail "
    "is best effort: SciGate looks before it writes, and what somebody else writes in that moment is replaced"
)


def examine(config: Path | None = None, env: Mapping[str, str] | None = None) -> Iterator[Check]:
    """All checks, as they are done. ``config`` is where the settings are, if not in the usual places."""
    env = os.environ if env is None else env
    registry = BackendRegistry()
    yield from _plugins(registry)
    yield _clock()
    path = find(config)
    if path is None and env.get("SCIGATE_URL"):
        yield right("settings", "there are none here: this machine is only a client of the gateway in SCIGATE_URL")
        yield from look_at_gateway(None, env)
        return
    try:
        settings = Settings.load(path, registry=registry)
    except SettingsError as error:
        yield from (wrong("settings", f"{path}: {problem}", "Correct the file.") for problem in error.problems)
        return
    yield from _settings(settings, path)
    yield from _state(settings)
    yield from examine_key(settings)
    yield from _database(settings)
    yield from _storages(settings, registry)
    yield _token(env)
    named = config is not None or bool(env.get(VARIABLE)) or path != Path(FILE_NAME)
    yield from look_at_gateway(settings, env, named=named)


def examiner(name: str) -> Callable[[str, str | None], Iterator[Check]] | None:
    """What looks at something beside the gateway, brought by an installed package (entry point ``scigate.doctors``).

    It takes what to look at, and a token to show there or None. None if it is not installed, or lacks a package that
    it needs.
    """
    for point in entry_points(group=DOCTORS, name=name):
        with contextlib.suppress(ImportError):
            found: Callable[[str, str | None], Iterator[Check]] = point.load()
            return found
    return None


def right(name: str, message: str, next_step: str | None = None) -> Check:
    return Check(name=name, ok=True, message=message, next_step=next_step)


def wrong(name: str, message: str, next_step: str) -> Check:
    return Check(name=name, ok=False, message=message, next_step=next_step)


# Plug-ins, clock, settings --------------------------------------------------------------------------------------


def _plugins(registry: BackendRegistry) -> Iterator[Check]:
    registry.load_all()
    for name, reason in registry.broken.items():
        yield wrong(
            "plug-in", f"the storage backend {name!r} cannot be used: {reason}", "Repair or remove its package."
        )
    usable = [name for name in registry.names() if name not in registry.broken]
    yield right("plug-ins", f"storage backends that can be used: {', '.join(usable)}")


def _clock() -> Check:
    """A clock before this file was written is certainly wrong; certificates and S3 signatures fail with it."""
    now, installed = datetime.now(UTC), datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if now + timedelta(days=1) < installed:
        return wrong(
            "clock", f"it shows {now:%Y-%m-%d %H:%M} UTC, before SciGate was installed", "Set it, e.g. by NTP."
        )
    return right("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _settings(settings: Settings, path: Path | None) -> Iterator[Check]:
    if path is None:
        yield right(
            "settings",
            "no scigate.toml, so the defaults are used",
            "Write one; docs/reference/configuration.md explains every key.",
        )
    else:
        counted = f"{_counted(settings.storages, 'storage')} and {_counted(settings.users, 'user')}"
        yield right("settings", f"{path} is valid: {counted}")
        yield from _modes(path)
    if settings.hub is not None:
        yield right("users", f"they are those of the hub at {settings.hub.api_url}, which 'doctor --hub' looks at")
    elif not settings.users:
        step = "Make a token with 'scigate token NAME'. If a JupyterHub starts it, use 'scigate doctor --hub' instead."
        yield wrong("users", "nobody can use this gateway", step)
    if not settings.storages:
        yield wrong("storages", "there is no storage", "Add a table [storages.NAME] to scigate.toml.")


def _counted(things: Sized, what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _modes(path: Path) -> Iterator[Check]:
    """Nobody else may write the settings, nobody else may read the secrets that they name."""
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield wrong("files", f"others can change {path}", f"Run 'chmod go-w {path}'.")
    for secret in _secret_files(tomllib.loads(path.read_text())):
        if secret.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield wrong("files", f"others can read the secret in {secret}", f"Run 'chmod 600 {secret}'.")


def _secret_files(value: Any) -> Iterator[Path]:
    if not isinstance(value, dict):
        return
    if list(value) == ["file"]:
        yield Path(str(value["file"])).expanduser()
    for inner in value.values():
        yield from _secret_files(inner)


# State and database ---------------------------------------------------------------------------------------------


def _state(settings: Settings) -> Iterator[Check]:
    folder = settings.gateway.state_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield wrong("state", f"{there} is no folder that this user can write", "Correct it, or gateway.state_dir.")
        return
    if there != folder:
        yield right("state", f"{folder} is not there yet; 'scigate serve' makes it")
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        yield wrong(
            "state", f"{folder} cannot be written: {error.strerror}", "Free space there, or choose another one."
        )
        return
    if is_open(folder):
        step = advice(folder) if holds_other_things(folder) else f"Run 'chmod 700 {folder}'."
        yield wrong("state", f"others can look into {folder}", step)
    yield right("state", f"{folder} can be written, {_free(folder)} GiB are free")


def _free(folder: Path) -> int:
    numbers = os.statvfs(folder)
    return numbers.f_bavail * numbers.f_frsize >> 30


def _database(settings: Settings) -> Iterator[Check]:
    url = settings.database_url.reveal()
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        shown = str(path)  # in a URL what is no ASCII would be escaped
        if (kind := filesystem(path)) in NETWORK or kind.startswith("fuse.ssh"):
            yield wrong("database", f"{path} is on a network file system ({kind}), where SQLite is not safe",
                        "Set gateway.state_dir to a local disk, or use PostgreSQL.")  # fmt: skip
        if not path.exists():
            yield right("database", f"{path} is not there yet; 'scigate serve' makes it")
            return
    yield _at_newest(url, shown)


def _at_newest(url: str, shown: str) -> Check:
    try:
        found = _in_time(lambda: revision(url))
    except (SQLAlchemyError, OSError, ImportError, TooSlow) as error:
        reason = str(getattr(error, "orig", None) or error or "no answer in time").splitlines()[0]
        return wrong("database", f"{shown} cannot be used: {reason}", "Start it, or correct database.url.")
    if found != newest_revision():
        message = f"{shown} is at revision {found or 'none'}, SciGate needs {newest_revision()}"
        return wrong("database", message, "Run 'scigate migrate'; 'scigate serve' does it as well.")
    return right("database", f"{shown} is at the newest revision, {found}")


def filesystem(path: Path) -> str:
    """The type of the file system that holds ``path`` (which need not exist), from the kernel's table of mounts."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    for fields in (line.split() for line in lines):
        mount = fields[4].replace("\\040", " ")
        if len(mount) >= len(best) and path.absolute().is_relative_to(mount):
            best, kind = mount, fields[fields.index("-") + 1]
    return kind


# Storages and token ---------------------------------------------------------------------------------------------


def _storages(settings: Settings, registry: BackendRegistry) -> Iterator[Check]:
    for name, section in settings.storages.items():
        begun = time.monotonic()
        try:
            said = _in_time(lambda section=section: _probe(section, registry))  # type: ignore[misc]
        except StorageError as error:
            yield wrong(f"storage {name}", error.message, _step(error))
        except TooSlow:
            yield wrong(f"storage {name}", f"no answer in {PATIENCE.total_seconds():.0f} seconds",
                        "Check its address and the network.")  # fmt: skip
        else:
            yield right(f"storage {name}", f"{section.type}: {said} ({(time.monotonic() - begun) * 1000:.0f} ms)")


def _step(error: StorageError) -> str:
    """What a person can do; what is otherwise tried again by itself is not, by a doctor."""
    own = error.next_step != StorageError.next_step
    return error.next_step if own else "Check that it runs, its address in scigate.toml, and the network."


def _probe(section: StorageSection, registry: BackendRegistry) -> str:
    kind = registry.get(section.type)
    if section.options is None:
        raise Misconfigured(f"its backend {section.type!r} cannot be used")
    backend = kind.build(section.options)
    check_answers(backend)
    if section.read_only or backend.limits.read_only:
        return "reachable, for reading only"
    return _write_and_remove(backend)


def _write_and_remove(backend: Backend) -> str:
    path, data = f"scigate-doctor-{secrets.token_hex(6)}", secrets.token_bytes(64)
    backend.put(path, data, if_absent=True)
    try:
        same = b"".join(bytes(buffer) for buffer in backend.read(path)) == data
        kept = _refuses_to_replace(backend, path)
    finally:
        backend.delete(path)
    if not same:
        raise Misconfigured("it gave back other bytes than were written", next_step="Do not use it; have it checked.")
    if not kept:
        raise Misconfigured("it replaced a file that it was told to keep", next_step="Do not use it; have it checked.")
    return f"a file was written, read and removed{'' if backend.limits.atomic_no_replace else BEST_EFFORT}"


def _refuses_to_replace(backend: Backend, path: str) -> bool:
    try:
        backend.put(path, b"another", if_absent=True)
    except AlreadyExists:
        return True
    return False


def _token(env: Mapping[str, str]) -> Check:
    try:
        find_token(env)
    except NotConfigured as error:
        unsafe = "others" in error.message
        return Check(name="token", ok=not unsafe, message=error.message, next_step=error.next_step)
    except GatewayError as error:
        return wrong("token", error.message, error.next_step)
    return right("token", "this user has one")


def _in_time(look: Callable[[], Any]) -> Any:
    """What ``look`` returns; ``TooSlow`` when it hangs, in a thread that the process need not wait for."""
    return Background(1, "doctor").submit(look).result(PATIENCE.total_seconds())
