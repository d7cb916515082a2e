"""The HTTP server: the route table on a socket, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from scigate.storage_backends.backend import MiB
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from ..auth.authentication import Authentication
from ..auth.token import TokenUsers
from ..db.database import DatabaseUnavailable
from ..gateway import Gateway
from ..policy import Rule
from ..problems import Problem
from ..settings import Settings
from .commits import Commits
from .connections import Connection, Connections, Listener, descriptors
from .events.fanout import Fanout
from .handler import BODY_TIMEOUT, Handler, JsonHandler, NotFoundHandler, host_of, url_path
from .hub.parts import HubParts
from .listening import listening_sockets
from .route import Route
from .routes import ROUTES

HEADERS_MAX: Final = 32 << 10  # bytes; a path of 4,096 bytes, percent-encoded, and a token fit
IDLE: Final = 60.0  # seconds for the headers of a request, and between requests of one connection
DRAIN: Final = 5.0  # seconds that running requests get when the server stops
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Site:
    """What every handler needs at hand."""

    def __init__(self, settings: Settings, gateway: Gateway, hub: HubParts | None = None) -> None:
        self.gateway, self.hub = gateway, hub
        self.routes = (*ROUTES, *(hub.routes if hub else ()))
        self._literal = frozenset(route.path for route in self.routes if not route.parameters)
        self._by_method = {
            method: [one for one in self.routes if one.method == method]
            for method in {one.method for one in self.routes}
        }
        self.running: set[RequestHandler] = set()
        """Requests begun and not ended."""
        users = TokenUsers(settings.users)
        self.authentication = Authentication(users, gateway.page_tickets, hub.oauth if hub else None)
        gateway.events.actor_named = users.named
        self.reads_alone = False
        """Whether the event loop may read the database by itself: then it waits for nobody."""
        self.commits: Commits
        """Set by the event loop."""
        self.body_max = settings.limits.body_max
        self.pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="api")
        self.storage_pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="api-storage")
        self.body_pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="api-body")
        """For bodies on their way to our own disk: waits for nothing but that, so that others can wait for it."""
        limits, files = settings.limits, descriptors()
        self.connections = Connections(min(limits.connections, max(1, files * 3 // 4)), gateway.metrics)
        self.fanout = Fanout(
            gateway.events, self._in_thread, most=min(limits.event_streams, files // 2),
            most_per_user=limits.event_streams_per_user,
        )  # fmt: skip
        gateway.presence.others.append(self.fanout.users)
        self._public_url = settings.gateway.public_url or ""
        public = self._public_url.partition("://")[2]
        self._prefix = hub.prefix.rstrip("/") if hub else "/".join(["", *public.split("/")[1:]]).rstrip("/")
        own = {host_of(public.partition("/")[0]), settings.gateway.host.strip("[]").lower()}
        self._hosts = LOOPBACK_NAMES | own if settings.gateway.is_loopback and not hub else None

    def check_host(self, host: str) -> None:
        """Refuse a foreign ``Host``: on loopback it means that a web page was pointed at us (DNS rebinding).

        Behind the proxy of a hub it is the hub's name, which we are not told; there nothing is done for who is nobody,
        and cookies are only sent to the host that has set them.
        """
        if self._hosts is not None and host_of(host) not in self._hosts:
            raise Problem(
                421, "wrong-host", "This gateway does not go by this host name.",
                next_step="Use its own address; an admin can set public_url under [gateway] in scigate.toml.",
            )  # fmt: skip

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this ``Origin`` (RFC 6454) is ours: of the host that was asked, or of ``public_url``."""
        own = {f"{scheme}://{host.lower()}" for scheme in ("http", "https")}
        return origin.lower() in own | {"/".join(self._public_url.lower().split("/")[:3])}

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a request and its path parameters; ``HEAD`` goes where ``GET`` goes, if it has none itself."""
        own = self._own(path)
        for route in self._by_method.get(method, ()):
            if (found := self._match(route, own)) is not None:
                return route, found
        return self.find("GET", path) if method == "HEAD" else None

    def _match(self, route: Route, own: str) -> dict[str, str] | None:
        """As ``Route.match``, but a path that is a route's own, letter for letter, is no parameter of another's."""
        return None if own in self._literal and own != route.path else route.match(own)

    def allowed(self, path: str) -> list[str]:
        """The methods that a path has."""
        own = self._own(path)
        methods = {route.method for route in self.routes if self._match(route, own) is not None}
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

    def url(self, template: str, **parameters: str) -> str:
        """The URL path of a route, as clients see it."""
        return url_path(self._prefix, template, **parameters)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    def close(self) -> None:
        for pool in (self.pool, self.storage_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.body_pool.shutdown()  # what has come is kept

    def _own(self, path: str) -> str:
        """A proxy in front may have taken the prefix of ``public_url``, or of the hub's service, off, or left it."""
        if self._prefix and path == self._prefix:
            return "/"
        return path.removeprefix(self._prefix) if path.startswith(self._prefix + "/") else path


class SiteApplication(Application):
    """Tornado's application, with our table in place of its own."""

    def __init__(self, site: Site) -> None:
        super().__init__(log_function=self._log, **(site.hub.cookies if site.hub else {}))
        self.site = site
        self._nothing = Route("GET", "(no route)", Rule.ANYONE, "What no route has", NotFoundHandler)

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> Any:
        found = self._overridden(request) or self.site.find(request.method or "", request.path)
        route, params = found or (self._nothing, {})
        kind = route.endpoint if isinstance(route.endpoint, type) else JsonHandler
        return self.get_handler_delegate(request, kind, {"site": self.site, "route": route, "params": params})

    def _overridden(self, request: HTTPServerRequest) -> tuple[Route, dict[str, str]] | None:
        """What a POST stands for whose sender cannot send other methods (tus 1.0, X-HTTP-Method-Override)."""
        method = request.headers.get("X-HTTP-Method-Override", "")
        found = self.site.find(method, request.path) if method and request.method == "POST" else None
        if found is None or not found[0].overridable:
            return None
        request.method = method
        return found

    def _log(self, handler: RequestHandler) -> None:
        assert isinstance(handler, Handler)
        seconds, lasted = handler.request.request_time(), handler.lasts and handler.get_status() == 200
        self.site.gateway.metrics.request(
            handler.request.method or "", handler.route.path, handler.get_status(), None if lasted else seconds
        )
        handler.log_access(seconds)


class LimitedServer(HTTPServer):
    """Tornado's server, with our own connections, of which there is not any number."""

    connections: Connections
    """To be set before the first socket is added."""

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for one in sockets:
            self._sockets[one.fileno()] = one
            self._handlers[one.fileno()] = Listener(one, self.connections, self._take).stop

    def _take(self, one: socket.socket, address: Any) -> None:
        host = str(address[0]) if address else ""
        limits = {"max_buffer_size": self.max_buffer_size, "read_chunk_size": self.read_chunk_size}
        self.handle_stream(Connection(one, self.connections, host, **limits), address)


class HttpServer:
    """Listens from ``start`` to ``stop``; ``port`` is then the real one."""

    def __init__(self, site: Site, host: str, port: int) -> None:
        self._site, self.host, self.port = site, host, port
        self._ready: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Return when connections are accepted. ``OSError`` if the address cannot be had, ``DatabaseUnavailable`` if
        the database cannot be read."""
        self._thread.start()
        self.port = self._ready.result()

    def stop(self) -> None:
        """Accept no more, give running requests a moment, then close."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._site.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            if not self._ready.done():  # who waits for it would wait for ever
                self._ready.set_exception(OSError("the server has ended, and its log says why"))

    async def _serve(self) -> None:
        try:
            self._site.reads_alone = self._site.gateway.reads_alone()
            sockets = listening_sockets(self.host, self.port)
        except (OSError, DatabaseUnavailable) as error:
            self._ready.set_exception(error)
            return
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = SiteApplication(self._site)
        server = LimitedServer(
            application, chunk_size=MiB, max_header_size=HEADERS_MAX, idle_connection_timeout=IDLE,
            body_timeout=BODY_TIMEOUT,
            max_body_size=2 * self._site.body_max, max_buffer_size=2 * self._site.body_max + MiB,
        )  # fmt: skip
        server.connections = self._site.connections
        server.add_sockets(sockets)
        self._site.commits = Commits()
        self._site.fanout.start()
        self._ready.set_result(sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.stop()
        server.conn_params.no_keep_alive = True  # else who asks all the time would never let us end
        await self._site.fanout.stop()
        await _until(lambda: not self._site.running, DRAIN)
        await server.close_all_connections()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
