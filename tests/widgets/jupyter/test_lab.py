"""The panel in JupyterLab and Notebook: there, filled when it is looked at, and the file browser sends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TOKEN = "token-of-ada-" + "x" * 20
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
NOTEBOOK = {"cells": [], "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}
OPEN = """async (path) => {
  const app = window.jupyterapp;
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready;
  app.shell.activateById(panel.id);
}"""
LAST_CELL = """() => { const { content } = window.jupyterapp.shell.currentWidget;
  return content.model.cells.get(content.activeCellIndex).sharedModel.source; }"""


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    site = new_site(tmp_path_factory.mktemp("lab"), "jupyterlab")
    (site.folder / "home/measured").mkdir()
    (site.folder / "home/measured/a.csv").write_text("a,b\n1,2\n")
    (site.folder / "home/two.csv").write_text("c\n3\n")
    (site.folder / "home/work.ipynb").write_text(json.dumps(NOTEBOOK))
    yield site
    site.close()


def open_lab(tab: Any, site: Any) -> None:
    tab.goto(f"{site.url}lab/workspaces/auto-{time.time_ns()}?token={TOKEN}")
    tab.wait_for_function("window.jupyterapp && window.jupyterapp.restored.then(() => true)")


@pytest.mark.long
def test_the_panel_is_in_the_side_bar_and_the_file_browser_sends(tab: Any, site: Any) -> None:
    open_lab(tab, site)
    assert tab.locator(".scigate-panel .scigate").count() == 0, "nothing is asked before somebody looks"
    folder = tab.locator(".jp-DirListing-item", has_text="measured")
    folder.click(button="right")
    tab.get_by_role("menuitem", name="Send to gateway…").click()
    dialog = tab.get_by_role("dialog", name="Send measured")
    dialog.get_by_label("To storage").select_option("lab")
    dialog.get_by_label("Folder", exact=True).fill("from-lab")
    dialog.get_by_role("button", name="Send", exact=True).click()
    tab.get_by_text("On its way.").first.wait_for()
    arrived = site.folder / "lab/from-lab/measured/a.csv"
    end = time.monotonic() + 60
    while not arrived.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert arrived.read_text() == "a,b\n1,2\n"

    tab.evaluate("window.jupyterapp.shell.activateById('scigate-panel')")
    panel = tab.locator(".scigate-panel")
    panel.locator(".scigate-upload").get_by_label("To storage").wait_for()
    panel.get_by_role("tab", name="Send").focus()
    tab.keyboard.press("ArrowRight")
    panel.locator(".scigate-transfers tr[data-id]").first.wait_for()
    assert panel.get_by_role("tab", selected=True).inner_text() == "Transfers"

    tab.evaluate(OPEN, "work.ipynb")
    panel.get_by_role("tab", name="Files").click()
    panel.get_by_role("button", name="home").first.click()
    panel.get_by_role("button", name="two.csv", exact=True).click()
    panel.get_by_role("button", name="Use in this notebook").click()
    panel.get_by_text("A cell was added").wait_for()
    assert 'pd.read_csv("scigate://home/two.csv")' in tab.evaluate(LAST_CELL)
