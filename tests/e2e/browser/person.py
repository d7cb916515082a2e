"""What a person does in JupyterLab, by the application's own commands where clicks would only test JupyterLab."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, Request, expect

from .station import Station

PATIENCE: Final = 60_000  # milliseconds
expect.set_options(timeout=PATIENCE)  # of every expectation that names none; without it five seconds
_LOOK: Final = 2_000  # milliseconds: then what we look for is scrolled to again
_OPEN: Final = """async path => {
    const app = window.jupyterapp;
    const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
    await panel.context.ready;
    await panel.sessionContext.ready;
    for (let i = 0; i < 600 && panel.sessionContext.session?.kernel?.status !== "idle"; i++)
        await new Promise(later => setTimeout(later, 100));
    app.shell.activateById(panel.id);
}"""
_RUN: Final = """async number => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    panel.content.activeCellIndex = number;
    panel.content.deselectAll();
    await app.commands.execute("notebook:run-cell");
}"""
_START: Final = """async number => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    panel.content.activeCellIndex = number;
    panel.content.deselectAll();
    app.commands.execute("notebook:run-cell");
}"""
_WRITE: Final = """async text => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    panel.content.activeCellIndex = panel.content.widgets.length - 1;
    await app.commands.execute("notebook:insert-cell-below");
    panel.content.activeCell.model.sharedModel.setSource(text);
    return panel.content.activeCellIndex;
}"""


class Person:
    """Somebody with a browser; remembers every request that their pages made, and every error."""

    def __init__(self, page: Page, station: Station, name: str) -> None:
        self.page, self.station, self.name = page, station, name
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._remember)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.set_default_timeout(PATIENCE)

    @property
    def base(self) -> str:
        """Of this person's notebook server."""
        return f"{self.station.origin}/user/{self.name}" if self.name else self.station.origin

    def sign_in(self) -> None:
        """At the hub, until JupyterLab is there; without a hub the address is enough."""
        if not self.name:
            self.page.goto(self.station.home.url)
        else:
            self.page.goto(f"{self.station.origin}/hub/login?next=/hub/spawn")
            self.page.fill("#username_input", self.name)
            self.page.fill("#password_input", self.station.home.passwords[self.name])
            self.page.click("#login_submit")
            self.page.wait_for_url(f"**/user/{self.name}/lab**", timeout=2 * PATIENCE)
        self.fresh_lab()

    def fresh_lab(self) -> None:
        """JupyterLab with an empty workspace."""
        self.page.goto(f"{self.base}/lab/workspaces/auto-{time.time_ns()}?reset")
        self.page.wait_for_function("window.jupyterapp && window.jupyterapp.restored.then(() => true)")

    def open(self, notebook: str) -> None:
        self.page.evaluate(_OPEN, notebook)

    def run(self, cell: int) -> None:
        """Run a cell to its end."""
        self.page.evaluate(_RUN, cell)

    def start(self, cell: int) -> None:
        """Have a cell run, and go on."""
        self.page.evaluate(_START, cell)

    def write(self, text: str) -> int:
        """A new cell at the end; its number."""
        number: int = self.page.evaluate(_WRITE, text)
        return number

    def portlet(self, name: str) -> Locator:
        """A portlet in the notebook (the side bar may show one as well)."""
        return self.page.locator(f".jp-NotebookPanel .scigate-{name}").first

    def choose_file(self, path: Path) -> None:
        """Give a local file to the upload portlet."""
        self.portlet("upload").locator("input[type=file]").first.set_input_files(path)

    def foreign(self) -> list[str]:
        """Requests that went to anywhere but this station."""
        allowed = ("data:", "blob:", self.station.origin, self.station.origin.replace("http", "ws", 1))
        return [url for url in self.asked if not url.startswith(allowed)]

    def _remember(self, request: Request) -> None:
        self.asked.append(request.url)

    def send(self, path: Path, storage: str, folder: str) -> Locator:
        """Send a local file to a folder of a storage; its row in the list of what is sent."""
        panel = self.portlet("upload")
        self.choose_file(path)
        panel.get_by_label("To storage").select_option(storage)
        panel.get_by_label("Folder", exact=True).fill(folder)
        panel.locator(".scigate-send-button").click()
        row = panel.locator(f".scigate-send[aria-label='{path.name}']")
        expect(row).to_contain_text(f"to {storage}:/{folder}")
        return row

    def fetch(self, url: str, storage: str, folder: str) -> None:
        """Have the gateway fetch a web address."""
        panel = self.portlet("upload")
        panel.locator("textarea").fill(url)
        panel.get_by_label("To storage").select_option(storage)
        panel.get_by_label("Folder", exact=True).fill(folder)
        panel.locator(".scigate-send-button").click()

    def sees_done(self, name: str, patience: int = PATIENCE) -> None:
        """Look at the list of transfers, as often as the page moves it out of sight, until this one is DONE."""
        end = time.monotonic() + patience / 1000
        while True:
            try:
                return expect(self.transfer(name)).to_have_attribute("data-state", "DONE", timeout=_LOOK)
            except AssertionError:
                if time.monotonic() > end:
                    raise

    def transfer(self, name: str) -> Locator:
        """The row of a transfer with this name; a row that was never in sight has none yet."""
        self.portlet("transfers").scroll_into_view_if_needed()
        return self.portlet("transfers").locator("tr[data-id]").filter(has_text=name).first
