"""A gateway inside the Jupyter Server, on the embedded defaults; or that of the same user's other Jupyter Server."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import os
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .announcement import Announcement, new_token
from .problem import Refusal
from .upstream import Upstream

if TYPE_CHECKING:
    from scigate.gateway_api.settings import Settings, StorageSection
    from scigate.gateway_api.wiring import Service

log = logging.getLogger(__name__)
HOME: Final = "home"
PATIENCE: Final = 20.0  # seconds that another gateway has to come up, or to end
FAILED_FOR: Final = 5.0  # seconds in which a failed start is not tried again


@dataclass(frozen=True, slots=True)
class Place:
    """What is hosted: ``settings_file`` None: none; ``home`` None: no files of this server; ``hidden``: also those of
    them whose name begins with a dot."""

    state_dir: Path
    home: Path | None
    settings_file: Path | None = None
    reads_settings: bool = True
    hidden: bool = False


class Hosted:
    """The gateway of this user on this machine, started here when nobody else hosts it. Implements ``Door``."""

    def __init__(self, place: Place, found: Callable[[Upstream], None] = lambda upstream: None) -> None:
        self._place, self._found = place, found
        self._announcement = Announcement(place.state_dir)
        self._port = self._announcement.port()
        self._lock = threading.Lock()  # one looks for it at a time
        self._service: Service | None = None
        self._upstream: Upstream | None = None
        self._failure: tuple[float, Refusal] | None = None
        self._looking: asyncio.Future[Upstream] | None = None
        self._ended = threading.Event()

    @property
    def expected_url(self) -> str:
        """Where the gateway most likely is going to be, for kernels that start before it."""
        return self._announcement.url or f"http://127.0.0.1:{self._port}"

    async def upstream(self) -> Upstream:
        """The gateway, started if need be. ``Refusal`` with the reason if it cannot be."""
        if self._upstream is not None:
            return self._upstream
        if self._looking is None or self._looking.done():  # one thread looks for all who wait
            self._looking = asyncio.get_running_loop().run_in_executor(None, self._look)
        return await asyncio.shield(self._looking)

    def lost(self, upstream: Upstream) -> bool:
        """It has ended; whoever asks next hosts it."""
        if self._service is None and self._upstream == upstream:
            self._upstream = None
        return self._service is None

    def is_moving(self) -> bool:
        """Whether files are on their way in the gateway of this process."""
        return self._service is not None and self._service.gateway.events.is_moving()

    def stop(self) -> None:
        """End what runs in this process, for good: pages that are still open ask on. It goes on at the next start."""
        self._ended.set()
        with self._lock:
            service, self._service, self._upstream = self._service, None, None
            if service is not None:
                self._announcement.withdraw()
                service.stop()

    def _look(self) -> Upstream:
        with self._lock:
            if self._upstream is None:
                if self._ended.is_set():
                    raise ended()
                self._check_failure()
                try:
                    self._upstream = self._find()
                except Exception as error:
                    self._failure = time.monotonic(), not_started(error)
                    log.warning("the gateway does not start", exc_info=error)
                    raise self._failure[1] from None
                self._found(self._upstream)
            return self._upstream

    def _find(self) -> Upstream:
        """The other one, else our own. Servers may start at the same moment: who comes second looks again."""
        from scigate.gateway_api.settings_errors import SettingsError

        if found := self._other():
            return found
        try:
            return self._start()
        except SettingsError:
            return self._other() or self._start()

    def _check_failure(self) -> None:
        if self._failure is not None and time.monotonic() - self._failure[0] < FAILED_FOR:
            raise self._failure[1]

    def _other(self) -> Upstream | None:
        """The gateway that another process hosts in this folder; None if nobody does."""
        deadline = time.monotonic() + PATIENCE
        while self._announcement.is_locked():
            url, token, elsewhere = self._announcement.url, self._announcement.token, self._announcement.machine
            if url and token and not elsewhere and _answers(url, token):
                return Upstream(url, token)
            if time.monotonic() > deadline:
                raise taken(self._place.state_dir, elsewhere)
            if self._ended.wait(0.1):
                raise ended()
        return None

    def _start(self) -> Upstream:
        from scigate.gateway_api.wiring import build

        token = new_token()
        service = build(settings(self._place, self._announcement.port(self._port), token))
        service.start()
        try:
            self._announcement.publish(service.url, token)
        except OSError:  # nobody would find it, and it would keep the folder from the next try
            service.stop()
            raise
        self._service = service
        log.info("SciGate runs in this Jupyter Server, state in %s", self._place.state_dir)
        return Upstream(service.url, token)


def settings(place: Place, port: int, token: str) -> Settings:
    """The settings of a hosted gateway: loopback, one user, its own database; storages and limits of ``scigate.toml``
    and the server's own files. ``SettingsError`` if the file is wrong."""
    from scigate.gateway_api.settings import DatabaseSection, GatewaySection, Settings, UserSection

    found = Settings.load(place.settings_file) if place.reads_settings else Settings()
    if place.settings_file is None and not os.environ.get("SCIGATE_CONFIG"):
        _require_no_secrets(found)
    storages = dict(found.storages)
    if place.home is not None:
        storages.setdefault(HOME, home_storage(place.home, hidden=place.hidden))
    proof = {"token_hash": "sha256:" + sha256(token.encode()).hexdigest(), "roles": ["user", "curator", "admin"]}
    return found.model_copy(
        update={
            "gateway": GatewaySection(host="127.0.0.1", port=port, state_dir=place.state_dir),
            "database": DatabaseSection(),
            "users": {user_name(): UserSection.model_validate(proof)},
            "storages": storages,
            "hub": None,
        }
    )


def _require_no_secrets(found: Settings) -> None:
    """Of settings that nobody has named. Those in the folder where the server was started may be somebody else's, such
    as a cloned repository's, and would have secrets of the user's sent to storages of theirs. Raises ``Refusal``."""
    if found.source is None or found.source.is_absolute():  # those in the user's own folder for settings
        return
    if name := next(iter(found.storages_with_secrets()), None):
        path = found.source.absolute()
        raise Refusal(
            503, "settings-not-named", "The gateway in this Jupyter Server was not started.",
            detail=f"storages.{name} in {path} asks for a secret of yours, and this server was only started there.",
            next_step=f"If you trust that file: set SCIGATE_CONFIG={path} and start the server again.",
        )  # fmt: skip


def home_storage(root: Path, *, hidden: bool) -> StorageSection:
    """The files of this Jupyter Server as a storage."""
    from scigate.gateway_api.settings import Settings

    quoted = json.dumps(str(root), ensure_ascii=False)
    text = f'[storages.{HOME}]\ntype = "posix"\nroot = {quoted}\nsummary = "The files of this Jupyter Server"\n'
    return Settings.parse(f"{text}hidden = {str(hidden).lower()}\n").storages[HOME]


def user_name() -> str:
    """The user of this machine, as a gateway may call them."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number only
        name = ""
    return re.sub(r"[^A-Za-z0-9._@-]", "-", name).lstrip("._@-")[:64] or "user"


def not_started(error: Exception) -> Refusal:
    """Why there is no gateway, in words."""
    if isinstance(error, Refusal):
        return error
    why = str(error).strip() or type(error).__name__
    return Refusal(
        503, "gateway-not-started", "The gateway in this Jupyter Server could not start.", detail=why,
        next_step="Correct this and try again; the server's log says more.", retriable=True,
    )  # fmt: skip


def ended() -> Refusal:
    """Nobody starts a gateway in a server that ends."""
    return Refusal(503, "server-ends", "This Jupyter Server is being stopped.", next_step="Start it again.",
                   retriable=True)  # fmt: skip


def taken(folder: Path, machine: str | None) -> Refusal:
    """Another gateway has the folder, and it is none of a Jupyter Server of this machine."""
    if machine:
        why = f"A Jupyter Server of yours on the machine {machine} hosts a gateway in {folder}."
        advice = "Stop that server; or set ScigateExtension.state_dir to a folder of this machine"
    else:
        why = f"A gateway that was not started by a Jupyter Server runs in {folder}."
        advice = (
            "Stop it ('scigate serve'); or set SCIGATE_URL to its address and SCIGATE_TOKEN_FILE to a token for it, or "
            "ScigateExtension.state_dir to another folder"
        )
    return Refusal(
        503, "gateway-not-started", "Another gateway uses the state folder of this Jupyter Server's.", detail=why,
        next_step=f"{advice}, and restart the Jupyter Server.", retriable=True,
    )  # fmt: skip


def _answers(url: str, token: str) -> bool:
    """Whether the announced gateway is there and takes its token."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{url}/api/v1/storages", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    if not url.startswith("http://127.0.0.1:"):
        return False
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):  # the port may be a kernel's by now, which speaks no HTTP
        return False
