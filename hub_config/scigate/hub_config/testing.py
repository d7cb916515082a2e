"""A real JupyterHub with a gateway, in a folder of its own: for tests and demonstrations, never for users.

Everybody's notebook server runs as the user who started the hub, and can read whatever that user can.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from .accounts import Account, Accounts, hashed
from .service import die_with_parent

PATIENCE: Final = 240.0  # seconds
STOP: Final = 90.0  # seconds; the hub waits for its services and servers
PORTS: Final = range(10_000, 15_000)

RIGHTS: Final = (
    "admin:users",
    "admin:servers",
    "admin:groups",
    "tokens",
    "access:servers",
    "read:roles",
    "list:services",
)
CONFIG: Final = """# Written by scigate.hub_config.testing.
import os, sys
from datetime import timedelta
from scigate.hub_config import configure
from scigate.hub_config.authenticator import FileAuthenticator

c = get_config()  # noqa: F821
folder = {folder!r}
c.JupyterHub.bind_url = "{url}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = {tls!r}
c.JupyterHub.db_url = f"sqlite:///{{folder}}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{{folder}}/jupyterhub_cookie_secret"
c.JupyterHub.authenticator_class = FileAuthenticator
c.FileAuthenticator.users_file = f"{{folder}}/users.json"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{{folder}}/home/{{{{username}}}}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.Spawner.http_timeout = c.Spawner.start_timeout = 240
c.TraefikProxy.traefik_api_url = "http://127.0.0.1:{traefik_port}"
c.TraefikProxy.check_route_timeout = 240
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"], "scopes": {rights!r}}}]
{extra}
configure(
    c,
    settings=f"{{folder}}/scigate.toml",
    url="http://127.0.0.1:{gateway_port}",
    state_dir=f"{{folder}}/traefik",
    curators={curators!r},
    {options}
)
"""


@dataclass
class Hub:
    """A hub in ``folder``: ``start`` it, and ``stop`` it; in between it can be asked and its users can sign in.

    :param base_url: the path below which it lies, from ``/`` to ``/``.
    :param curators: as for ``configure``.
    :param extra: lines of Python in its configuration, before ``configure`` is called.
    :param options: further arguments of ``configure``, as text.
    :param certificate: with ``key``: it speaks TLS, and is asked so.
    """

    folder: Path
    base_url: str = "/"
    curators: Mapping[str, str] = field(default_factory=dict)
    extra: str = ""
    options: str = ""
    certificate: Path | None = None
    key: Path | None = None
    python: str = sys.executable
    log: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = self.folder / "hub.log"
        self.port, self._hub_port, self._traefik_port, self.gateway_port = free_ports(4)
        self.admin_token = secrets.token_hex(32)
        self.passwords: dict[str, str] = {}
        self.accounts = Accounts(self.folder / "users.json")
        self.http = self.client()
        """Asks without cookies or tokens."""

    @property
    def url(self) -> str:
        """Where browsers find the hub; ends in ``/``."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}{self.base_url}"

    @property
    def gateway(self) -> str:
        """Where browsers find the gateway, through the proxy; ends in ``/``."""
        return f"{self.url}services/scigate/"

    @property
    def settings(self) -> Path:
        """The gateway's ``scigate.toml``."""
        return self.folder / "scigate.toml"

    @property
    def pid(self) -> int:
        """The process of the hub."""
        assert self._process is not None, "it has been started"
        return self._process.pid

    def add_user(self, name: str, *groups: str, password: str | None = None, admin: bool = False) -> None:
        """A user with a password of their own; see ``passwords``."""
        self.passwords[name] = password or secrets.token_urlsafe(12)
        self.accounts.add(name, Account(hashed(self.passwords[name]), groups, admin))

    def start(self) -> None:
        """Start it and wait until it routes requests to the gateway. Call it from the main thread, which must outlive
        it. ``RuntimeError`` with the end of its log if it does not start."""
        config = self.folder / "jupyterhub_config.py"
        config.touch(mode=0o600)
        config.write_text(self._config())
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 our own program
                [self.python, "-m", "jupyterhub", "--config", str(config)],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0,
                preexec_fn=_like_a_foreground_job,  # noqa: PLW1509 it takes no lock
                env=os.environ | {"PATH": _search_path(self.python)},
            )  # fmt: skip
        self.wait(self._routes, "the hub did not start")

    def stop(self) -> None:
        """End the hub, its services and its notebook servers in order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # and its proxy
            self._process.wait()
        self._process = None

    def client(self, **options: Any) -> httpx.Client:
        """A client that trusts the hub, if that speaks TLS, and that a restart does not confuse."""
        trust = ssl.create_default_context(cafile=self.certificate)
        return httpx.Client(verify=trust, timeout=60, limits=httpx.Limits(max_keepalive_connections=0), **options)

    def wait(self, condition: Callable[[], Any], otherwise: str, seconds: float = PATIENCE) -> Any:
        """What ``condition`` returns once that is true; a server that does not answer yet is no error."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self._process is None or self._process.poll() is None):
            with contextlib.suppress(httpx.TransportError):
                if found := condition():
                    return found
            time.sleep(0.25)
        raise RuntimeError(f"{otherwise}:\n{self.log.read_text(errors='replace')[-6000:]}")

    def ready(self) -> None:
        """Wait until the gateway itself answers."""
        self.wait(lambda: self.http.get(f"{self.gateway}healthz").status_code == 200, "the gateway did not start")

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the hub's REST API as an admin."""
        url = f"{self.url}hub/api/{path}"
        return self.http.request(method, url, headers={"Authorization": f"token {self.admin_token}"}, **options)

    def token(self, user: str, *scopes: str) -> str:
        """A token of the user, with all their rights unless ``scopes`` says which."""
        body = {"note": "test", **({"scopes": list(scopes)} if scopes else {})}
        answer = self.api("POST", f"users/{user}/tokens", json=body)
        answer.raise_for_status()
        made: str = answer.json()["token"]
        return made

    def spawn(self, user: str) -> str:
        """Start the user's notebook server; return its URL, which ends in ``/``."""
        self.api("POST", f"users/{user}/server").raise_for_status()
        self.wait(lambda: self.server(user).get("ready"), f"the server of {user} did not start")
        return f"{self.url}user/{user}/"

    def server(self, user: str) -> dict[str, Any]:
        """What the hub knows of the user's notebook server; empty if there is none."""
        found: dict[str, Any] = self.api("GET", f"users/{user}").json().get("servers", {}).get("", {})
        return found

    @contextlib.contextmanager
    def signed_in(self, user: str) -> Iterator[httpx.Client]:
        """A browser, as far as cookies go, in which the user has signed in."""
        with self.client(base_url=self.url, follow_redirects=True) as browser:
            browser.get("hub/login")
            there = {"next": f"{self.base_url}hub/home"}  # else the hub would start a notebook server
            form = {"username": user, "password": self.passwords[user], "_xsrf": browser.cookies["_xsrf"]}
            answer = browser.post("hub/login", params=there, data=form)
            if answer.status_code == 403 or "hub/login" in str(answer.url):
                raise RuntimeError(f"{user} could not sign in: {answer.status_code}")
            yield browser

    def _routes(self) -> bool:
        """Whether the gateway's path leads anywhere: 404 comes from the hub, 502 from a proxy without an upstream."""
        return self.http.get(self.gateway).status_code not in (404, 502, 504)

    def _config(self) -> str:
        return CONFIG.format(
            folder=str(self.folder), url=self.url, hub_port=self._hub_port, traefik_port=self._traefik_port,
            gateway_port=self.gateway_port, token=self.admin_token,
            curators=dict(self.curators), extra=self.extra, options=self.options, rights=list(RIGHTS),
            tls=(str(self.certificate or ""), str(self.key or "")),
        )  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listened on a moment ago.

    They lie below those that the kernel gives to outgoing connections, which could take one before the hub does; and
    each worker of a run of pytest has its own.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = "".join(filter(str.isdecimal, os.environ.get("PYTEST_XDIST_WORKER", ""))) or "0"
    ours = PORTS[int(number) % workers :: workers]
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            probe, port = stack.enter_context(socket.socket()), secrets.choice(ours)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


def _search_path(python: str) -> str:
    return os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)])


def _like_a_foreground_job() -> None:
    """A shell has its background jobs ignore SIGINT, and programs inherit it: then the hub waits half a minute for
    services that it stops with SIGINT. And the hub ends when we do, however that is."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()
