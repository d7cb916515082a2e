"""People at a JupyterHub: what they see in a notebook, and what goes on without them."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from .person import PATIENCE, Person
from .station import Station, until

NOTEBOOK = "first-transfer.ipynb"
RUNS = "() => window.jupyterapp.shell.currentWidget.content.widgets.at(-1).model.executionState === 'running'"
"""Whether the last cell runs. (The kernel's own status is that of whoever asked it last.)"""
Take = Callable[..., None]


@pytest.fixture(scope="module")
def signed_in(hub: Station, person_of: Callable[[Station, str], Person]) -> Person:
    """alice, with the dashboard open, as the tests of this module find her one after the other."""
    alice = person_of(hub, "alice")
    alice.sign_in()
    alice.open(NOTEBOOK)
    alice.run(1)
    expect(alice.portlet("status")).to_be_visible(timeout=PATIENCE)
    return alice


def test_one_cell_shows_the_whole_dashboard(signed_in: Person) -> None:
    for name in ("status", "upload", "transfers", "files", "community", "feedback"):
        expect(signed_in.portlet(name)).to_be_visible(timeout=PATIENCE)
    expect(signed_in.portlet("status")).to_contain_text("archive")
    assert signed_in.page.locator(".jp-NotebookPanel .scigate-problem").count() == 0


def test_a_url_is_fetched_to_a_storage(signed_in: Person, hub: Station) -> None:
    signed_in.fetch(f"{hub.web}/de421.bsp", "archive", "sky")
    signed_in.sees_done("de421.bsp")
    wanted = sha256((hub.folder / "observatory" / "de421.bsp").read_bytes()).hexdigest()
    assert hub.digest("sky/de421.bsp") == wanted


def test_an_upload_survives_the_death_of_the_gateway(
    signed_in: Person, hub: Station, large_file: Path, picture: Take
) -> None:
    row = signed_in.send(large_file, "archive", "night")
    until(lambda: int(row.locator("[role=progressbar]").first.get_attribute("aria-valuenow") or 0) >= 10, "a tenth")
    before = {process.pid for process in hub.gateways()}
    hub.kill_gateway()
    until(lambda: {process.pid for process in hub.gateways()} - before, "another gateway")
    expect(row).to_have_attribute("data-state", "received", timeout=3 * PATIENCE)
    signed_in.sees_done("detector.raw", 2 * PATIENCE)
    assert hub.digest("night/detector.raw") == sha256(large_file.read_bytes()).hexdigest()
    signed_in.page.locator(".jp-NotebookPanel h1").first.scroll_into_view_if_needed()
    picture(signed_in.page, "dashboard")


def test_a_busy_kernel_keeps_nobody_from_seeing(signed_in: Person, hub: Station, tmp_path: Path) -> None:
    signed_in.start(signed_in.write("import time; time.sleep(600)"))
    signed_in.page.wait_for_function(RUNS)
    file = tmp_path / "while-busy.dat"
    file.write_bytes(b"busy" * 1000)
    signed_in.send(file, "archive", "busy")
    signed_in.sees_done("while-busy.dat")
    assert signed_in.page.evaluate(RUNS), "the cell has ended before the upload"
    signed_in.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")


def test_hostile_names_are_text(signed_in: Person, hub: Station) -> None:
    name = "<img src=x onerror=window.pwned=1>.dat"
    (hub.folder / "lab" / "evil").mkdir(exist_ok=True)
    (hub.folder / "lab" / "evil" / name).write_bytes(b"harmless")
    files = signed_in.portlet("files")
    files.get_by_role("button", name="lab", exact=False).first.click()
    files.get_by_role("button", name="evil", exact=False).first.click()
    expect(files).to_contain_text(name, timeout=PATIENCE)
    assert signed_in.page.evaluate("window.pwned") is None
    assert files.locator("img").count() == 0


def test_nothing_was_asked_beyond_this_machine(signed_in: Person) -> None:
    assert len(signed_in.asked) > 50
    assert signed_in.foreign() == []


def test_a_page_that_is_loaded_again_shows_the_same(signed_in: Person, picture: Take) -> None:
    signed_in.fresh_lab()
    signed_in.open(NOTEBOOK)
    signed_in.run(1)
    for name in ("de421.bsp", "detector.raw", "while-busy.dat"):
        signed_in.sees_done(name)
    signed_in.transfer("detector.raw").get_by_role("button").first.click()
    expect(signed_in.portlet("transfers").locator("canvas").first).to_be_visible(timeout=PATIENCE)
    picture(signed_in.portlet("transfers"), "transfers")


def test_two_users_share_a_community_and_nothing_else(
    signed_in: Person, hub: Station, person: Callable[..., Person]
) -> None:
    (hub.folder / "lab" / "shared.csv").write_text("a,b\n1,2\n")
    bob = person(hub, "bob")
    bob.sign_in()
    bob.open(NOTEBOOK)
    bob.run(1)
    expect(bob.portlet("community")).to_contain_text("shared.csv", timeout=PATIENCE)
    expect(bob.portlet("transfers")).to_be_visible()
    assert bob.portlet("transfers").locator("tr[data-id]").count() == 0, "alice's transfers are hers"
    bob.page.context.close()


def test_a_stopped_server_stops_no_transfer(signed_in: Person, hub: Station) -> None:
    number = signed_in.write(
        "from scigate.gateway_api.client import Gateway\n"
        f"print(Gateway().pull('{hub.web}/de421.bsp', 'archive:/afterwards/').id)"
    )
    signed_in.run(number)
    cookies = {cookie["name"]: cookie["value"] for cookie in signed_in.page.context.cookies()}
    assert cookies
    signed_in.page.goto(f"{hub.origin}/hub/home")
    signed_in.page.click("#stop")
    expect(signed_in.page.locator("#stop")).to_be_hidden(timeout=PATIENCE)
    until(lambda: hub.digest("afterwards/de421.bsp"), "the file")
    signed_in.page.goto(f"{hub.origin}/services/scigate/")
    expect(signed_in.page.locator("body")).to_contain_text("de421.bsp", timeout=PATIENCE)


def test_without_signing_in_nothing_is_shown(hub: Station) -> None:
    answer = httpx.get(f"{hub.origin}/services/scigate/api/v1/transfers", follow_redirects=False, timeout=60)
    assert answer.status_code == 401
    page = httpx.get(f"{hub.origin}/services/scigate/", follow_redirects=False, timeout=60)
    assert page.status_code in (302, 303), page.text
    assert re.search(r"oauth2/authorize", page.headers["Location"])
