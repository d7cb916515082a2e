"""The uploads of a gateway, put together."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import Backend
from scigate.storage_backends.errors import StorageError

from .db.database import Database, DatabaseUnavailable
from .settings import Settings
from .settings_errors import SettingsError
from .state_folder import GATEWAY_ID
from .storages import STAGING, Storages
from .transfers.progress import LiveProgress
from .transfers.store import TransferStore
from .uploads.accepting import Terms
from .uploads.arrivals import Arrivals
from .uploads.digesting import Remembered
from .uploads.recovery import Boot
from .uploads.sessions import Uploads
from .uploads.source import StagedSource
from .uploads.staged import PREFIX
from .uploads.staging import Staging, sync_folder
from .uploads.store import UploadStore
from .uploads.window import Window
from .uploads.writer import Reception

CHECKPOINTS: Final = 4  # uploads that are made durable beside their streams at once
log = logging.getLogger(__name__)


class UploadParts:
    """What the engine and the use cases of uploads share."""

    def __init__(self, settings: Settings, folder: Path, database: Database) -> None:
        limits = settings.limits
        self._folder, self._database = folder, database
        self.name = PREFIX + gateway_id(folder)
        self.staging = Staging(folder / STAGING, limits.staging_quota)
        self._arrivals = Arrivals()
        self.rates, self.known = LiveProgress(), self._arrivals.known
        terms = Terms(limits.upload_expires, limits.retry_for, limits.uploads_open)
        self._store = UploadStore(database, self.name, terms)
        self.source = StagedSource(self.name, self.staging.folder, self._store.lookup, self._arrivals)
        self._pool = ThreadPoolExecutor(CHECKPOINTS, thread_name_prefix="upload")
        self._sweeping = threading.Lock()

    def cases(
        self, storages: Storages, transfers: TransferStore, look: Callable[[], None], page_max: int,
        look_soon: Callable[[], None] | None = None,
    ) -> Uploads:  # fmt: skip
        """The use cases. ``look`` tells the engine that there may be something new, ``look_soon`` (else ``look``) that
        one of perhaps many uploads has been received."""
        self._store.on_new, self._store.on_received = look, look_soon or look
        transfers.hindrance = self._arrivals.hindrance
        around = Reception(
            self._store, self.staging, self._arrivals, self.rates, Remembered(), self._pool, self._make_room
        )
        self._uploads = Uploads(around, storages, transfers, page_max=page_max)
        self.staging.make_room = self._uploads.sweep
        return self._uploads

    def window(self, backend: Callable[[str], Backend]) -> Window:
        """What lets uploads be larger than the disk; ``backend`` opens a storage."""
        return Window(self._database, self.name, self.staging, lambda name: not backend(name).limits.drafts_readable)

    def prepare(self) -> None:
        """Before the engine starts: make the disk fit the records."""
        self._uploads.prepare(Boot(self._folder, self.staging.folder))

    def _make_room(self) -> None:
        """Sweep beside the request that waits for room; one sweep at a time is enough."""
        if self._sweeping.acquire(blocking=False):
            self._pool.submit(self._sweep)

    def _sweep(self) -> None:
        try:
            self._uploads.sweep()
        except (DatabaseUnavailable, StorageError) as error:
            log.warning("uploads: nothing was swept: %s", error)
        finally:
            self._sweeping.release()


def gateway_id(folder: Path) -> str:
    """This gateway's own id (8 hexadecimal digits), made when it is first asked for: the uploads on its disk are its
    own, also when several gateways share one database."""
    path = folder / GATEWAY_ID
    if not path.exists():
        new = path.with_suffix(".new")
        with new.open("w") as file:
            file.write(secrets.token_hex(4) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(folder)
    found = path.read_text().strip()
    if not re.fullmatch(r"[0-9a-f]{8}", found):
        problem = "It has to hold 8 hexadecimal digits: those of the uploads in staging/. Restore it from a backup."
        raise SettingsError(str(path), [problem])
    return found
