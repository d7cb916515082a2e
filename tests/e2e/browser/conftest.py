"""A person at a browser: Chromium, steered by Playwright, in front of the demo's hub or its JupyterLab."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from scigate.gateway_api.demo import jupyter
from scigate.gateway_api.demo.inputs import copy_data, http_server
from scigate.storage_backends.testing.servers import seaweedfs

from tests.processes import free_port

from .person import Person
from .station import Station

ARGUMENTS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing but this machine can be reached
)  # fmt: skip
EXPOSED: Final = "--LabApp.expose_app_in_browser=True"


@pytest.fixture(scope="module")  # playwright's loop in this thread would keep others from running theirs
def chromium(require: Callable[[str], Path]) -> Iterator[Browser]:
    """One browser for all pages of a module."""
    with sync_playwright() as playwright:
        program = str(require("chromium"))
        browser = playwright.chromium.launch(
            executable_path=program, headless=True, args=list(ARGUMENTS), timeout=120_000
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def hub(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """The demo's JupyterHub with its gateway, storages and users."""
    yield from _station(require, tmp_path_factory.mktemp("hub"), hub=True)


@pytest.fixture(scope="module")
def lab(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """The demo's JupyterLab without a hub; the gateway runs in its server."""
    yield from _station(require, tmp_path_factory.mktemp("lab"), hub=False)


def _station(require: Callable[[str], Path], folder: Path, *, hub: bool) -> Iterator[Station]:
    require("seaweedfs")
    with ExitStack() as stack:
        (folder / "lab").mkdir()
        (folder / "seaweedfs").mkdir()
        observatory, _ = copy_data(folder, folder / "lab")
        web = stack.enter_context(http_server(observatory))
        s3 = stack.enter_context(seaweedfs(folder / "seaweedfs"))
        start = jupyter.hub if hub else jupyter.lab
        with pytest.MonkeyPatch.context() as patch:  # somebody else's may come to the usual port just before ours
            patch.setattr(jupyter, "_port", lambda usual: free_port())
            home = stack.enter_context(start(folder, jupyter.Storages(folder / "lab", s3, web), [EXPOSED]))
        yield Station(folder, home, s3, web)


@pytest.fixture
def person(chromium: Browser) -> Iterator[Callable[..., Person]]:
    """``person(station, "alice")``: somebody with a browser of their own; closed at the end of the test."""
    with ExitStack() as stack:

        def new(station: Station, name: str = "") -> Person:
            context = chromium.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
            stack.callback(context.close)
            return Person(context.new_page(), station, name)

        yield new


@pytest.fixture(scope="module")
def person_of(chromium: Browser) -> Iterator[Callable[[Station, str], Person]]:
    """As ``person``, for all tests of a module."""
    with ExitStack() as stack:

        def new(station: Station, name: str) -> Person:
            context = chromium.new_context(viewport={"width": 1400, "height": 1000})
            stack.callback(context.close)
            return Person(context.new_page(), station, name)

        yield new


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """200 MB that do not compress."""
    path = tmp_path / "detector.raw"
    with path.open("wb") as file:
        for _ in range(200):
            file.write(secrets.token_bytes(1_000_000))
    return path


@pytest.fixture
def picture() -> Callable[..., None]:
    """``picture(what, name)`` keeps a screenshot of a page, or of a part of it, for the documentation when
    ``SCIGATE_PICTURES`` names a folder."""
    folder = os.environ.get("SCIGATE_PICTURES")

    def take(what: Page | Locator, name: str) -> None:
        if folder:
            what.screenshot(path=Path(folder) / f"{name}.png")

    return take
