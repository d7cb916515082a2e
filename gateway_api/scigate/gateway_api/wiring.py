"""Settings → a gateway that runs. The only place that knows all parts, and how they are put together."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import Backend
from scigate.storage_backends.errors import StorageError
from scigate.storage_backends.http import UrlSource
from scigate.storage_backends.layers import Meter, Totals, compose
from scigate.storage_backends.registry import BackendRegistry
from scigate.storage_backends.web_url import parse_web_url
from scigate.storage_backends.wire import Pool
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from . import logs, state_folder
from .db.database import Database, DatabaseUnavailable
from .db.migrate import migrate
from .db.sqlite_file import SqliteFile
from .db.watermark import Watermark
from .entries import surl
from .gateway import Gateway
from .http.server import HttpServer, Site
from .memory import share_heaps, spare_the_collector
from .metrics import Metrics
from .presence import Presence
from .settings import Settings
from .settings_errors import SettingsError
from .status import Health, Vitals
from .storage_views import StorageViews
from .storages import Storages
from .transfers.egress import Egress
from .transfers.engine import Engine, EngineSettings
from .transfers.runtime import OUTSIDE, OpenUrl
from .transfers.scheduler import SlotLimits, upload_slots
from .transfers.store import TransferStore
from .wiring_events import events, raise_descriptors
from .wiring_hub import HubSide
from .wiring_numbers import numbers
from .wiring_uploads import UploadParts
from .wiring_webhooks import webhooks

log = logging.getLogger(__name__)
HEARD_WITHIN: Final = 1.0  # seconds: the kernel may give a signal to another thread, and Python acts when this one runs


class Service:
    """A whole gateway in this process: database, engine, HTTP. ``start`` once, ``stop`` once."""

    def __init__(self, settings: Settings, registry: BackendRegistry) -> None:
        self.settings, self._registry = settings, registry
        folder = _state_folder(settings)
        with contextlib.ExitStack() as undo:  # whoever corrects what is wrong may try again in this process
            self._claim = _claimed(folder, settings)
            undo.callback(os.close, self._claim)
            self._database = _database(settings.database_url.reveal(), folder)
            undo.callback(self._database.close)
            try:
                self._make(folder)
            except (OSError, DatabaseUnavailable) as error:
                raise _failing(settings, error) from None
            undo.pop_all()

    def _make(self, folder: Path) -> None:
        settings, registry = self.settings, self._registry
        self._watermark = Watermark(self._database, folder)
        uploads = self._uploads = UploadParts(settings, folder, self._database)
        self._storages = Storages(settings.storages, registry, {uploads.name: uploads.source})
        self._outside = Meter()
        egress = Egress(settings.egress)
        store = self._store = TransferStore(self._database, self._surl)
        self._engine = Engine(
            self._database, self._backend, _url_opener(egress, self._outside), _engine_settings(settings), folder,
            chores=(self._sweep_uploads, self._watermark.keep), each_round=self._watch_uploads, staging=uploads.source,
            window=uploads.window(self._backend),
        )  # fmt: skip
        store.progress, store.expected = self._engine.progress, self._engine.expected
        store.on_new, store.on_queued = self._engine.look, self._engine.look_at_queued
        presence = Presence()
        shown = numbers(settings, self._engine, uploads.rates, presence)
        health = Health(self._storages, registry, store.counts, self._staged, self._vitals(), numbers=shown)
        self.gateway = Gateway(
            self._storages,
            store,
            limits=settings.limits,
            egress=egress,
            health=health,
            metrics=self._metrics(store),
        )
        self.gateway.presence = presence
        views = self.gateway.storage_views = StorageViews(self._storages, self._engine.expected, settings.gateway.site)
        engine, page_max = self._engine, settings.limits.page_max
        self.gateway.uploads = uploads.cases(self._storages, store, engine.look, page_max, engine.look_soon)
        views.largest_upload = lambda: self.gateway.uploads.largest
        self.gateway.webhooks, self._deliveries = webhooks(settings, folder, self._database, store)
        self._hub = HubSide(settings, folder, self._database)
        self.gateway.page_tickets = self._hub.tickets
        self.gateway.events, self._feed = events(
            self._database, self._engine.progress, uploads.rates, uploads.known
        )  # fmt: skip
        self.gateway.events.is_moving = lambda: self._engine.active() > 0
        site = Site(settings, self.gateway, self._hub.parts)
        self._http = HttpServer(site, settings.gateway.host, settings.gateway.port)

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return self._http.port

    @property
    def url(self) -> str:
        """Where the gateway answers on this machine."""
        host = self._http.host
        return f"http://[{host}]:{self.port}" if ":" in host.strip("[]") else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Go on with what was running before, then listen. ``SettingsError`` if the address cannot be had, or if the
        database or the folder fails meanwhile.

        Plug-ins that are broken are logged; so are, a little later, storages that do not answer.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            self._begin()
            undo.pop_all()
        log.info("the gateway listens on %s", self.url)
        self._storages.look_at_all()

    def _begin(self) -> None:
        self._registry.load_all()
        try:
            self._go_on()
        except (OSError, DatabaseUnavailable) as error:
            raise _failing(self.settings, error) from None
        try:
            self._http.start()
        except DatabaseUnavailable as error:
            raise _failing(self.settings, error) from None
        except OSError as error:
            where, why = f"{self._http.host}:{self._http.port}", error.strerror or str(error)
            problem = f"gateway.port: {where} cannot be listened on: {why}. {_listen_step(error)}"
            raise SettingsError(_name(self.settings), [problem]) from None

    def _go_on(self) -> None:
        if self._watermark.is_older_copy():
            self._store.pause_all()
            self._watermark.begin_anew()
        self._uploads.prepare()
        self._engine.start()
        self._sweep_uploads()
        self._deliveries.start()
        self._feed.start()
        self._hub.start()

    def stop(self) -> None:
        """Answer what is being asked, give running files back to the queue, close."""
        self._http.stop()
        self._close()

    def _close(self) -> None:
        self.gateway.uploads.close()
        self._deliveries.stop()
        self._hub.stop()
        self._feed.stop()
        self._engine.stop()
        self._storages.close()
        self._watermark.keep()
        self._database.close()
        os.close(self._claim)

    def _backend(self, storage: str) -> Backend:
        return self._storages.get(storage).backend

    def _surl(self, storage: str, path: str) -> str | None:
        try:
            return surl(self._storages.get(storage), path)
        except StorageError:
            return None

    def _sweep_uploads(self) -> None:
        self.gateway.uploads.sweep()

    def _watch_uploads(self) -> None:
        self.gateway.uploads.watch()

    def _staged(self) -> tuple[int, int]:
        return self._uploads.staging.used(), self._uploads.staging.quota

    def _vitals(self) -> Vitals:
        limits = self.settings.limits

        def failure() -> str | None:
            return None if self._engine.is_alive() else "The engine does not run, or has lost its lease."

        def threads() -> dict[str, bool]:
            return {"events": self._feed.is_alive(), "webhooks": self._deliveries.is_alive()}

        workers = limits.max_active + limits.max_uploads_moving
        return Vitals(workers, self._engine.active, failure, threads, self._database.check)

    def _metrics(self, store: TransferStore) -> Metrics:
        metrics = Metrics()
        metrics.gauge("scigate_files", "Files of all transfers", ["state"],
                      lambda: {(state,): count for state, count in store.counts().items()})  # fmt: skip
        metrics.gauge("scigate_active", "Files or batches moving now", [], lambda: {(): self._engine.active()})
        metrics.gauge("scigate_staged_bytes", "Uploads on their way", [], lambda: {(): self._uploads.staging.used()})
        metrics.gauge("scigate_storage_bytes", "Bytes moved by this gateway since it started",
                      ["storage", "operation"], self._metered(lambda totals: totals.bytes))  # fmt: skip
        metrics.gauge("scigate_storage_calls", "Calls of this gateway since it started",
                      ["storage", "operation"], self._metered(lambda totals: totals.calls))  # fmt: skip
        return metrics

    def _metered(self, number: Callable[[Totals], float]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        def values() -> Mapping[tuple[str, ...], float]:
            meters = {storage.name: storage.meter for storage in self._storages.opened()} | {OUTSIDE: self._outside}
            return {
                (name, operation): number(totals)
                for name, meter in meters.items()
                for operation, totals in meter.totals().items()
            }

        return values


def build(settings: Settings, registry: BackendRegistry | None = None) -> Service:
    """A gateway made from settings, not started yet. ``SettingsError`` if its folder or another gateway forbids it."""
    return Service(settings, registry or BackendRegistry())


def serve(
    settings: Settings,
    ready: Callable[[Service], None] = lambda service: None,
    registry: BackendRegistry | None = None,
) -> None:
    """Run a gateway until SIGINT or SIGTERM; ``ready`` is called once it listens. For the main thread.

    ``registry`` is the one that the settings were read with: what it has found broken is then logged once.
    """
    logs.configure()
    raise_descriptors()
    share_heaps()
    service = build(settings, registry)
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()  # an event has a lock, which we could just be holding
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: heard.put(number))
    service.start()
    spare_the_collector()
    try:
        ready(service)
        _await(heard)
    finally:
        service.stop()


def _await(heard: queue.SimpleQueue[int]) -> None:
    while True:
        with contextlib.suppress(queue.Empty):
            heard.get(timeout=HEARD_WITHIN)
            return


def _name(settings: Settings) -> str:
    return str(settings.source or "The gateway with its defaults")


def _failing(settings: Settings, error: OSError | DatabaseUnavailable) -> SettingsError:
    """Why a gateway that was made from right settings cannot start."""
    again = "start the gateway again."
    if isinstance(error, DatabaseUnavailable):
        said = f"database.url: {logs.redact(str(error))}. Look at its disk or server, and {again}"
        return SettingsError("The database", [said])
    why, step = error.strerror or str(error), "Look at its disk"
    if isinstance(error, PermissionError):  # somebody else has made it, often root
        step = f"Give {error.filename}, and all else in it, to the user who runs the gateway"
    where = f"gateway.state_dir: the folder {settings.gateway.state_dir} cannot be used"
    return SettingsError(_name(settings), [f"{where}: {why}. {step}, and {again}"])


def _listen_step(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "Ports below 1024 are for root: set another one."
    return "Stop who has it, or set another port."


def _database(url: str, folder: Path) -> Database:
    """The database, its tables brought to the newest schema."""
    _require_sound(SqliteFile(make_url(url)), folder)
    try:
        migrate(url)
        return Database(url)
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        problem = f"database.url: the database cannot be opened: {logs.redact(why)}. Start it, or correct the URL."
        raise SettingsError("The database", [problem]) from None


def _require_sound(file: SqliteFile, folder: Path) -> None:
    """Nothing is begun anew over a database that is lost or damaged: it knows what people were promised."""
    if not file.exists() and (folder / state_folder.GATEWAY_ID).exists():
        problem = (
            f"database.url: the file {file.path} is gone, and with it every transfer that was accepted. Restore it "
            "from a backup; or, to begin with an empty one, run 'scigate migrate'."
        )
        raise SettingsError("The database", [problem])
    if wrong := file.what_is_wrong():
        problem = (
            f"database.url: the file {file.path} is damaged: {wrong}. Nothing was changed. Restore it from a backup, "
            "or recover what is left of it with 'sqlite3 FILE .recover'."
        )
        raise SettingsError("The database", [problem])


def _state_folder(settings: Settings) -> Path:
    folder = settings.gateway.state_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state_folder.is_open(folder) and state_folder.holds_other_things(folder):
            problem = f"gateway.state_dir: the folder {folder} holds other things and is open to others. "
            raise SettingsError(_name(settings), [problem + state_folder.advice(folder)])
        state_folder.make_private(folder)
    except OSError as error:
        problem = f"gateway.state_dir: the folder {folder} cannot be made: {error.strerror}. Set another."
        raise SettingsError(_name(settings), [problem]) from None
    return folder


def _claimed(folder: Path, settings: Settings) -> int:
    try:
        if (claim := state_folder.claim(folder)) is not None:
            return claim
    except OSError as error:
        raise _failing(settings, error) from None
    problem = f"gateway.state_dir: another gateway is running in {folder}. Stop it, or give this one its own."
    raise SettingsError(_name(settings), [problem])


def _engine_settings(settings: Settings) -> EngineSettings:
    limits = settings.limits
    slots = SlotLimits(
        total=limits.max_active,
        per_owner=limits.per_user or limits.max_active,
        per_storage=limits.per_storage,
        owners={name: user.max_active for name, user in settings.users.items() if user.max_active},
        storages={name: storage.max_active for name, storage in settings.storages.items() if storage.max_active},
    )
    return EngineSettings(
        slots, limits.streams, limits.batch_files, limits.batch_bytes, lease=limits.lease_seconds,
        reconcile_every=limits.reconcile_seconds, uploads=upload_slots(limits.max_uploads_moving),
    )  # fmt: skip


def _url_opener(egress: Egress, meter: Meter) -> OpenUrl:
    """Outside URLs as sources: one pool of connections, each of them vetted; it waits for nobody who drips."""
    pool = Pool(egress.connect)

    def open_url(url: str) -> tuple[Backend, str]:
        source = UrlSource(parse_web_url(url), pool, egress.vet_redirect, max_redirects=egress.policy.max_redirects)
        return compose(source, meter=meter), source.path

    return open_url
