"""The extension as Jupyter Server sees it: configuration, addresses, begin and end."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from jupyter_server._tz import utcnow
from jupyter_server.extension.application import ExtensionApp
from tornado.ioloop import PeriodicCallback
from traitlets import Bool, TraitError, Unicode, default

from .announcement import Announcement
from .broken import does_not_run
from .events_socket import PATH as EVENTS
from .events_socket import EventsSocket
from .forward import ForwardHandler
from .hosting import Hosted, Place, user_name
from .problem import Refusal
from .session_handler import SessionHandler
from .upstream import Connections, Door, Fixed, Upstream

if TYPE_CHECKING:
    from .home import Home

HUB_TOKEN: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 the name of a variable
LOOK_EVERY: Final = 30_000.0  # milliseconds


class Closed:
    """There is no gateway, and will be none until the server is restarted. Implements ``Door``."""

    def __init__(self, reason: Refusal) -> None:
        self.reason = reason

    async def upstream(self) -> Upstream:
        raise self.reason

    def lost(self, upstream: Upstream) -> bool:
        return False


class ScigateExtension(ExtensionApp):
    """Brings a science data gateway to the pages and kernels of this Jupyter Server."""

    name = "scigate"
    load_other_extensions = True

    gateway_url = Unicode(
        help="Address of the gateway for programs. Empty: one is hosted in this server. Default: $SCIGATE_URL."
    ).tag(config=True)
    public_path = Unicode(
        help="Path of the gateway for browsers. Default: $SCIGATE_PUBLIC_PATH, else the path of gateway_url."
    ).tag(config=True)
    settings_file = Unicode(
        help="The scigate.toml whose storages and limits a hosted gateway has. Default: $SCIGATE_CONFIG, "
        "./scigate.toml, ~/.config/scigate/scigate.toml."
    ).tag(config=True)
    state_dir = Unicode(
        "~/.local/share/scigate", help="Folder in which a hosted gateway keeps its transfers; only its owner reads it."
    ).tag(config=True)
    home = Unicode(help="Folder of the storage 'home'. Default: the root folder of this server.").tag(config=True)
    home_storage = Bool(True, help="Whether the files of this server are a storage, named 'home'.").tag(config=True)

    @default("gateway_url")
    def _gateway_url(self) -> str:
        """Not the address that we have set ourselves, for a server that was started in a terminal of ours."""
        own = Announcement(self.state_folder).is_ours(os.environ.get("SCIGATE_TOKEN_FILE", ""))
        return "" if own else os.environ.get("SCIGATE_URL", "")

    @default("public_path")
    def _public_path(self) -> str:
        return os.environ.get("SCIGATE_PUBLIC_PATH") or urlsplit(self.gateway_url).path

    @default("home")
    def _home(self) -> str:
        return str(self.serverapp.root_dir) if self.serverapp is not None else ""

    @property
    def state_folder(self) -> Path:
        return Path(self.state_dir).expanduser().absolute()

    @property
    def home_folder(self) -> Path | None:
        return Path(self.home).expanduser().absolute() if self.home_storage and self.home else None

    @property
    def shows_hidden(self) -> bool:
        """Whether this server shows hidden files: Jupyter's own setting (``ContentsManager.allow_hidden``)."""
        return bool(getattr(getattr(self.serverapp, "contents_manager", None), "allow_hidden", False))

    @property
    def with_hub(self) -> bool:
        """Whether the gateway is the hub's, asked with the token of this server."""
        return bool(self.gateway_url and os.environ.get(HUB_TOKEN))

    @property
    def user(self) -> str:
        return (os.environ.get("JUPYTERHUB_USER") if self.with_hub else None) or user_name()

    def used(self) -> None:
        """Somebody does something here: the server is not idle."""
        self.settings["api_last_activity"] = utcnow()

    def _link_jupyter_server_extension(self, serverapp: Any) -> None:
        """Wrong configuration is told to whoever opens a page, and does not make us disappear."""
        self.connections = Connections()
        self.door: Door
        self._wrong: Refusal | None = None
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self._wrong = does_not_run(f"Its configuration is wrong: {error}")
            self._linked = True

    def initialize_settings(self) -> None:
        self._hosted: Hosted | None = None
        self.home_beside: Home | None = None
        try:
            self.door = Closed(self._wrong) if self._wrong else self._find_door()
        except Refusal as refusal:
            self.door = Closed(refusal)

    def initialize_handlers(self) -> None:
        self.handlers.extend([(r"/scigate/session", SessionHandler), (rf"/scigate{EVENTS}", EventsSocket)])
        if self.home_beside is not None:
            from .home_handlers import HomeHandler, JobHandler, LookedAtHandler, StoragesHandler, SubmitHandler

            self.handlers.extend(
                [
                    (r"/scigate/api/v1/storages", StoragesHandler),
                    (r"/scigate/api/v1/transfers", SubmitHandler),
                    (r"/scigate/api/v1/(?:moves|manifests)", LookedAtHandler),
                    (r"/scigate/api/v1/transfers/home-.*", JobHandler),
                    (r"/scigate/api/v1/.*", HomeHandler),
                ]
            )
        self.handlers.append((r"/scigate/api/v1/.*", ForwardHandler))

    def _find_door(self) -> Door:
        if self.gateway_url:
            upstream = self._remote()
            door = Fixed(upstream)
            self.home_beside = self._beside(door, upstream)
            return door
        self._hosted = self._host()
        return self._hosted

    def _beside(self, door: Door, upstream: Upstream) -> Home | None:
        """The files of this server, which the gateway elsewhere cannot reach."""
        if self.home_folder is None:
            return None
        from .home import Home

        return Home(self.connections, door, upstream, self.home_folder, self.state_folder, hidden=self.shows_hidden)

    def _remote(self) -> Upstream:
        from scigate.gateway_api.client import GatewayError
        from scigate.gateway_api.client.access import check_url, find_token

        try:
            url = check_url(self.gateway_url)
            token = os.environ.get(HUB_TOKEN) or find_token(os.environ).reveal()
        except GatewayError as error:
            raise Refusal(503, "not-configured", "The gateway of this Jupyter Server is not configured rightly.",
                          detail=error.message, next_step=error.next_step) from None  # fmt: skip
        os.environ.setdefault("SCIGATE_URL", url)
        return Upstream(url, token, "/" + self.public_path.strip("/") if self.public_path.strip("/") else "")

    def _host(self) -> Hosted:
        settings_file = Path(self.settings_file).expanduser() if self.settings_file else None
        place = Place(self.state_folder, self.home_folder, settings_file, hidden=self.shows_hidden)
        hosted = Hosted(place, self._told)
        self._tell(hosted.expected_url)
        return hosted

    def _told(self, upstream: Upstream) -> None:
        """Kernels that start from now on find the gateway."""
        self._tell(upstream.url)

    def _tell(self, url: str) -> None:
        os.environ["SCIGATE_URL"] = url
        os.environ["SCIGATE_TOKEN_FILE"] = str(Announcement(self.state_folder).token_file_of(url))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Begin in the background: the server neither waits for us nor fails by us."""
        self._looking = PeriodicCallback(self._look, LOOK_EVERY)
        self._looking.start()
        self._beginning = asyncio.ensure_future(self._begin())
        _at_exit(self._stop_parts)

    async def _begin(self) -> None:
        try:
            if self.home_beside is None:
                await self.door.upstream()
            elif await asyncio.to_thread(self.home_beside.resume):
                await self.home_beside.door.upstream()
        except Refusal as refusal:
            self.log.error("SciGate: %s %s %s", refusal.title, refusal, refusal.next_step)

    def _look(self) -> None:
        """Whoever culls idle servers is told that something moves."""
        if any(part.is_moving() for part in (self._hosted, self.home_beside) if part is not None):
            self.settings["last_activity_times"]["scigate"] = utcnow()

    async def stop_extension(self) -> None:
        """End in order, if the server is given the time; nothing relies on it."""
        await self.connections.close()
        await asyncio.to_thread(self._stop_parts)

    def _stop_parts(self) -> None:
        for part in (self._hosted, self.home_beside):
            if part is not None:
                part.stop()


def _at_exit(function: Callable[[], None]) -> None:
    """Call ``function`` when the interpreter ends, however the server was ended: a server without a terminal runs no
    stop hooks after SIGINT, which is what hubs send first. ``atexit`` alone is too late: before it pools of threads
    take no more work and are waited for, however long they move files."""
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(function)
