"""A real JupyterHub for tests, with a gateway beside it as its service. Its users' servers only say who they are."""

from __future__ import annotations

import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.processes import stop

TRUST: Final = ssl.create_default_context()
"""Of all clients here; to read all certificates for each of them takes longer than the tests."""
BASE: Final = "/one/"
PREFIX: Final = "/one/services/scigate/"
EVE: Final = '<img src=x onerror="alert(1)">'
"""The name of a user who means harm."""
GROUPS: Final = {
    "climate": ["alice", "bob"],
    "writers": ["alice", "bob", "ada@example.org", EVE],
    "readers": ["rita"],
    "curators-climate": ["bob"],
    "admins": ["root"],
    "strangers": ["zoe"],
}
CONFIG: Final = """
import sys
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import SimpleLocalProcessSpawner

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}
    async def delete_route(self, routespec): self.routes.pop(routespec, None)
    async def get_all_routes(self): return self.routes
    routes = {{}}

class Server(SimpleLocalProcessSpawner):
    cmd = [sys.executable, {server!r}]
    def make_preexec_fn(self, name): return None
    def user_env(self, env): return env
    async def stop(self, now=False): return await super().stop(now=True)

c.JupyterHub.base_url = {base!r}
c.JupyterHub.port = {proxy}
c.JupyterHub.ip = "127.0.0.1"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = Server
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Spawner.environment = {{"TOKENS": "{folder}"}}
c.Spawner.start_timeout = c.Spawner.http_timeout = 240
c.JupyterHub.custom_scopes = {{
    "custom:scigate:read": {{"description": "look"}},
    "custom:scigate:write": {{"description": "move data", "subscopes": ["custom:scigate:read"]}},
    "custom:scigate:curate": {{"description": "curate", "subscopes": ["custom:scigate:read"]}},
    "custom:scigate:admin": {{"description": "see everything", "subscopes": ["custom:scigate:write"]}},
}}
c.JupyterHub.load_groups = {{name: {{"users": users}} for name, users in {groups!r}.items()}}
access = "access:services!service=scigate"
c.JupyterHub.load_roles = [
    {{"name": "writers", "groups": ["writers"], "scopes": [access, "custom:scigate:write"]}},
    {{"name": "readers", "groups": ["readers"], "scopes": [access, "custom:scigate:read"]}},
    {{"name": "curators", "groups": ["curators-climate"], "scopes": ["custom:scigate:curate!group=climate"]}},
    {{"name": "admins", "groups": ["admins"], "scopes": [access, "custom:scigate:admin"]}},
    {{"name": "strangers", "groups": ["strangers"], "scopes": [access]}},
    {{"name": "server", "scopes": ["users:activity!user", "access:servers!server", access, "custom:scigate:write"]}},
    {{"name": "scigate", "services": ["scigate"], "scopes": ["users:activity", "read:users"]}},
    {{"name": "program", "services": ["program"], "scopes": [access, "custom:scigate:write"]}},
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "tokens", "servers", "groups"]}},
]
c.JupyterHub.services = [
    {{"name": "scigate", "url": "{gateway}", "api_token": "{token}", "oauth_no_confirm": True,
      "oauth_client_allowed_scopes": ["custom:scigate:" + right for right in ("read", "write", "curate", "admin")]}},
    {{"name": "tests", "api_token": "{admin}"}},
    {{"name": "program", "api_token": "{program}"}},
]
"""
SERVER: Final = """
import http.server, os, pathlib, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass
name = os.environ["JUPYTERHUB_USER"]
(pathlib.Path(os.environ["TOKENS"]) / ("token-of-" + name)).write_text(os.environ["JUPYTERHUB_API_TOKEN"])
port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


@dataclass
class RealHub:
    """The hub, and who may ask it."""

    folder: Path
    port: int
    gateway_port: int
    token: str = field(default_factory=lambda: secrets.token_hex(20))
    """The gateway's own."""
    admin: str = field(default_factory=lambda: secrets.token_hex(20))
    program: str = field(default_factory=lambda: secrets.token_hex(20))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}hub"

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def ask(self, method: str, path: str, json: Any = None) -> Any:
        """A request to the hub's API by its admin; fails unless it is answered well."""
        headers = {"Authorization": f"token {self.admin}"}
        answer = httpx.request(method, self.api + path, json=json, headers=headers, timeout=60, verify=TRUST)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.text else None

    def new_token(self, user: str, *scopes: str) -> tuple[str, str]:
        """A token of this user and its id: with these scopes, or all of theirs."""
        made = self.ask("POST", f"/users/{quoted(user)}/tokens", {"scopes": list(scopes)} if scopes else {})
        return made["token"], made["id"]

    def server_token(self, user: str) -> str:
        """Start the server of this user; the token that it was given."""
        self.ask("POST", f"/users/{quoted(user)}/server")
        path = self.folder / f"token-of-{user}"
        wait_until(lambda: path.exists() and self.ask("GET", f"/users/{quoted(user)}")["server"])
        return path.read_text()

    def stop_server(self, user: str) -> None:
        self.ask("DELETE", f"/users/{quoted(user)}/server")
        wait_until(lambda: not self.ask("GET", f"/users/{quoted(user)}")["server"])


def quoted(name: str) -> str:
    """A name in a URL."""
    from urllib.parse import quote

    return quote(name, safe="")


@contextmanager
def running(hub: RealHub, proxy_port: int) -> Iterator[None]:
    """``jupyterhub`` with these ports and tokens, from when it answers until the end."""
    server, config, log = hub.folder / "server.py", hub.folder / "jupyterhub_config.py", hub.folder / "hub.log"
    server.write_text(SERVER)
    config.write_text(CONFIG.format(
        base=BASE, port=hub.port, proxy=proxy_port, folder=hub.folder, groups=GROUPS, server=str(server),
        gateway=f"http://127.0.0.1:{hub.gateway_port}", token=hub.token, admin=hub.admin, program=hub.program,
    ))  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)], cwd=hub.folder, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{hub.url}/health"), 180)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        stop(process, signal.SIGINT)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, verify=TRUST).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Wait patiently; fail when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
