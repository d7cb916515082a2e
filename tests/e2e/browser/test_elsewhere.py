"""The same portlets where there is no hub: in JupyterLab alone, in Notebook 7, and on a page that Voila makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .person import PATIENCE, Person
from .station import Station, until

NOTEBOOK = "first-transfer.ipynb"


@pytest.fixture(scope="module")
def somebody(lab: Station, person_of: Callable[[Station, str], Person]) -> Person:
    """The only user of a JupyterLab, with its page open."""
    somebody = person_of(lab, "")
    somebody.sign_in()
    return somebody


def test_jupyterlab_alone_hosts_the_gateway(somebody: Person, lab: Station, tmp_path: Path) -> None:
    somebody.open(NOTEBOOK)
    somebody.run(1)
    file = tmp_path / "alone.dat"
    file.write_bytes(b"alone" * 100_000)
    somebody.send(file, "archive", "alone")
    somebody.sees_done("alone.dat")
    assert lab.digest("alone/alone.dat") == sha256(file.read_bytes()).hexdigest()


def test_the_kernel_knows_the_gateway(somebody: Person, lab: Station) -> None:
    somebody.run(3)  # it pulls a URL, and waits for it
    until(lambda: lab.digest("observatory/de421.bsp"), "the file that the notebook asked for")


def test_the_side_bar_has_the_panel(somebody: Person) -> None:
    somebody.page.get_by_role("tab", name="SciGate").first.click()
    expect(somebody.page.locator("#scigate-panel .scigate-upload").first).to_be_visible(timeout=PATIENCE)


def test_notebook_7_shows_the_dashboard(somebody: Person, lab: Station) -> None:
    somebody.page.goto(f"{lab.origin}/notebooks/{NOTEBOOK}")
    somebody.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for(state="attached")
    cell = somebody.page.locator(".jp-CodeCell").first
    cell.click()
    expect(cell).to_have_class(re.compile("jp-mod-active"))
    somebody.page.keyboard.press("Shift+Enter")
    expect(somebody.page.locator(".scigate-status").first).to_contain_text("archive", timeout=PATIENCE)
    expect(somebody.page.locator(".scigate-transfers tr[data-id]").first).to_be_attached(timeout=PATIENCE)


def test_voila_shows_the_dashboard(somebody: Person, lab: Station) -> None:
    somebody.page.goto(f"{lab.origin}/voila/render/{NOTEBOOK}")
    expect(somebody.page.locator(".scigate-status").first).to_contain_text("archive", timeout=PATIENCE)
