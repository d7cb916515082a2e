"""A gateway and a Jupyter Server that forwards to it, each a process of its own, and a plain page with portlets."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

import httpx
import pytest
from scigate.widgets.portlet import STATIC

from tests.processes import free_port, stop

ROOT: Final = Path(__file__).parents[3]
TOKEN: Final = "token-of-ada-" + "x" * 20
APPS: Final = {"jupyterlab": "LabApp", "notebook": "JupyterNotebookApp"}
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Portlets</title>
<script id="jupyter-config-data" type="application/json">CONFIG</script>
<style>body { margin: 16px; background: var(--jp-layout-color0, #fff); } main { display: grid; gap: 16px; }
THEME</style>
</head><body><main></main>
<script type="module">
window.portlet = async (name) => {
  const state = {};
  window.model = { state, saved: 0, get: (key) => state[key], set: (key, value) => { state[key] = value; },
    save_changes() { window.model.saved += 1; }, on() {}, off() {} };
  window.ended = new AbortController();
  const el = document.querySelector("main").appendChild(document.createElement("div"));
  const { default: found } = await import(`/static/${name}.js`);
  await found.render({ model: window.model, el, signal: window.ended.signal });
};
window.ready = true;
</script></body></html>
"""
THEMES: Final = {
    "light": """:root { --jp-layout-color0: #fff; --jp-layout-color1: #fff; --jp-layout-color2: #eee;
        --jp-layout-color3: #bdbdbd; --jp-ui-font-color1: rgb(0 0 0 / 87%); --jp-ui-font-color2: rgb(0 0 0 / 54%);
        --jp-border-color2: #e0e0e0; --jp-brand-color1: #1976d2; --jp-ui-inverse-font-color1: #fff;
        --jp-error-color1: #d32f2f; --jp-warn-color1: #f57c00; --jp-success-color1: #388e3c;
        --jp-content-link-color: #1565c0; }""",
    "dark": """:root { color-scheme: dark; --jp-layout-color0: #111; --jp-layout-color1: #212121;
        --jp-layout-color2: #424242; --jp-layout-color3: #616161; --jp-ui-font-color1: rgb(255 255 255 / 87%);
        --jp-ui-font-color2: rgb(255 255 255 / 54%); --jp-border-color2: #424242; --jp-brand-color1: #2196f3;
        --jp-ui-inverse-font-color1: #000; --jp-error-color1: #f44336; --jp-warn-color1: #ff9800;
        --jp-success-color1: #4caf50; --jp-content-link-color: #64b5f6; }""",
}  # as of Lab 4


@dataclass
class Process:
    """A program that is started, killed and started again; its output is told when a test fails."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.running = subprocess.Popen(
                self.command, env=self.environment, cwd=self.folder, stdout=out, stderr=out, start_new_session=True
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self.running = self.running, None
        if process is None:
            return
        stop(process, how)

    def wait_for(self, url: str) -> None:
        """Until it answers there."""
        end = time.monotonic() + 180
        while time.monotonic() < end:
            assert self.running is not None
            assert self.running.poll() is None, self.said()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, timeout=10).status_code < 500:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{url} does not answer:\n{self.said()}")

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@dataclass
class Site:
    """``gateway`` may be killed and started again; ``url`` is the Jupyter Server."""

    folder: Path
    gateway: Process
    jupyter: Process
    gateway_url: str
    url: str
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """The gateway's API as ada."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.clients.append(httpx.Client(base_url=f"{self.gateway_url}/api/v1/", headers=headers, timeout=60))
        return self.clients[-1]

    def start_gateway(self) -> None:
        self.gateway.start()
        self.gateway.wait_for(f"{self.gateway_url}/healthz")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for process in (self.jupyter, self.gateway):  # both at once
            if process.running is not None:
                process.running.terminate()
        self.jupyter.end()
        self.gateway.end()


SETTINGS: Final = """
[gateway]
port = {port}
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
summary = "Disks of the lab"
[storages.archive]
type = "posix"
root = "{folder}/archive"
read_only = true
summary = "Finished runs"
[storages.h3a]
type = "posix"
root = "{folder}/h3a"
users = ["community:h3a"]
summary = "Shared by H3Africa"
[storages.home]
type = "posix"
root = "{folder}/home"
summary = "The files of this Jupyter Server"
[users.ada]
token_hash = "sha256:{digest}"
communities = ["h3a"]
[egress]
allow = ["127.0.0.1:*"]
"""


def hatch_build() -> ModuleType:
    """The build hook, which knows where the extension of JupyterLab is made from."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_site(folder: Path, app: str = "jupyter_server") -> Site:
    """Start a gateway, and a Jupyter Server that forwards to it, in ``folder``; ``app`` is what has pages there."""
    for name in ("lab", "archive", "h3a", "home", "pages", "jupyter"):
        (folder / name).mkdir()
    port, jupyter_port = free_port(), free_port()
    digest = sha256(TOKEN.encode()).hexdigest()
    (folder / "scigate.toml").write_text(SETTINGS.format(folder=folder, port=port, digest=digest))
    gateway_url, url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{jupyter_port}/"
    env = _environment(folder)
    serve = [str(Path(sys.executable).with_name("scigate")), "serve"]
    gateway_env = {**env, "SCIGATE_CONFIG": str(folder / "scigate.toml")}
    jupyter_env = {**env, "SCIGATE_URL": gateway_url, "SCIGATE_TOKEN": TOKEN}
    gateway = Process(serve, gateway_env, folder, folder / "gateway.log")
    jupyter = Process(_jupyter(folder, jupyter_port, app), jupyter_env, folder / "home", folder / "jupyter.log")
    site = Site(folder, gateway, jupyter, gateway_url, url)
    _write_pages(folder / "pages")
    _enable(folder)
    try:
        jupyter.start()
        site.start_gateway()
        jupyter.wait_for(f"{url}api")
    except BaseException:
        site.close()
        raise
    return site


def _jupyter(folder: Path, port: int, app: str) -> list[str]:
    return [
        sys.executable, "-m", app, "--no-browser", "--allow-root",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder / 'home'}", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.extra_static_paths={[str(folder / 'pages'), str(STATIC)]}",
        *(_lab_options(folder, APPS[app]) if app in APPS else []),
    ]  # fmt: skip


def _lab_options(folder: Path, name: str) -> list[str]:
    """With the extension as it is in the checkout, whatever is installed."""
    hook = hatch_build()
    for source, target in hook.lab_data(ROOT):
        there = folder / target
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, there)
    places = [str((folder / hook.LAB_DATA).parent)]
    return [f"--LabServerApp.extra_labextensions_path={places}", f"--{name}.expose_app_in_browser=True"]


def _enable(folder: Path) -> None:
    """Of the extensions of the server only ours and that of the application are needed."""
    config = folder / "jupyter/config/jupyter_server_config.d"
    config.mkdir(parents=True)
    (config / "scigate.json").write_text('{"ServerApp": {"jpserver_extensions": {"scigate.extension": true}}}')
    news = folder / "jupyter/config/labconfig/page_config.json"
    news.parent.mkdir()
    news.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCIGATE_", "JUPYTER"))}
    places = {f"JUPYTER_{name}_DIR": str(folder / "jupyter" / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return kept | places | {"HOME": str(folder)}


def _write_pages(folder: Path) -> None:
    config = json.dumps({"baseUrl": "/", "token": TOKEN})
    for name, theme in THEMES.items():
        (folder / f"{name}.html").write_text(PAGE.replace("CONFIG", config).replace("THEME", theme))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Shared by a module's tests."""
    site = make_site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture(scope="session")
def new_site() -> Callable[..., Site]:
    """``make_site``, for modules that need another one."""
    return make_site


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Any]:
    """A page with nothing on it. A mistake in a script, or a request to another machine, fails the test."""
    context = browser.new_context(viewport={"width": 900, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not _is_here(request.url) else None)
    open_page(page, site)
    yield page
    context.close()
    assert wrong == []


def open_page(page: Any, site: Site, name: str = "light") -> None:
    """Sign in, and the plain page."""
    page.goto(f"{site.url}api/status?token={TOKEN}")
    page.goto(f"{site.url}static/{name}.html")
    page.wait_for_function("window.ready")


@pytest.fixture(scope="session")
def show() -> Callable[..., Any]:
    """``show(page, "upload")``: the element of a portlet that is put on the page."""

    def show(page: Any, name: str) -> Any:
        page.evaluate("(name) => window.portlet(name)", name)
        return page.locator(f".scigate-{name}").last

    return show


@pytest.fixture(scope="session")
def axe(missing: Callable[[str], NoReturn]) -> Callable[[Any], None]:
    """``axe(page)``: everybody can use the page as it is now, as far as axe can tell."""
    program = ROOT / "widgets/js/node_modules/axe-core/axe.min.js"
    if not program.is_file():
        missing("needs axe-core, which npm puts into widgets/js/node_modules: remove the bundles, then ./run bundles")

    def check(page: Any) -> None:
        if not page.evaluate("'axe' in window"):
            page.add_script_tag(path=program)
        found = page.evaluate("axe.run('main', { resultTypes: ['violations'] })")["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [f"{one['id']}: {[node['html'] for node in one['nodes']][:3]}" for one in serious] == []

    return check


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:"))
