"""Looking around in the storages, and what can be done with what is found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOSTILE = ["<img src=x onerror=hacked=1>.txt", "report\u202efdp.exe", "two\nlines.csv", "plain.csv"]
CLIPBOARD = "navigator.clipboard.readText()"


def fill(folder: Path) -> None:
    for name in HOSTILE:
        (folder / name).write_bytes(b"a,b\n1,2\n")
    (folder / "run7").mkdir()
    (folder / "run7" / os.fsdecode(b"not-utf8-\xff.bin")).write_bytes(b"bytes")


def opened(tab: Any, show: Callable[..., Any], storage: str) -> Any:
    panel = show(tab, "files")
    panel.get_by_role("button", name=storage).first.click()
    panel.locator("tr[data-id]").first.wait_for()
    return panel


def test_names_are_only_text_and_folders_are_entered(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    fill(site.folder / "lab")
    panel = opened(tab, show, "lab")
    names = panel.locator(".scigate-name").all_inner_texts()
    assert names == [
        "run7",
        "<img src=x onerror=hacked=1>.txt",
        "plain.csv",
        "report\ufffdfdp.exe",
        "two\ufffdlines.csv",
    ]
    assert tab.evaluate("typeof hacked") == "undefined"
    assert panel.locator("img").count() == 0
    panel.get_by_role("button", name="run7", exact=True).click()
    row = panel.locator("tr[data-id]")
    row.get_by_text("not-utf8-\ufffd.bin").wait_for()
    assert tab.evaluate("document.activeElement.textContent") == "run7"
    with tab.expect_download() as download:
        row.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == b"bytes"
    panel.get_by_role("navigation", name="Folder").get_by_text("Storages").click()
    panel.get_by_text("Finished runs · read only").wait_for()


def test_a_folder_is_made_and_an_empty_one_says_what_to_do(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    panel = show(tab, "files")
    panel.get_by_role("button", name="h3a").first.click()
    panel.get_by_text("This storage is empty.").wait_for()
    panel.get_by_role("button", name="New folder").click()
    panel.get_by_label("Name of the new folder").fill("../escape")
    tab.keyboard.press("Enter")
    panel.get_by_text("A name has no “/”").wait_for()
    panel.get_by_label("Name of the new folder").fill("results 2026")
    tab.keyboard.press("Enter")
    panel.get_by_role("button", name="results 2026", exact=True).wait_for()
    assert (site.folder / "h3a/results 2026").is_dir()
    assert not (site.folder / "escape").exists()


def test_details_are_copied_used_and_deleted(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    (site.folder / "home/table.csv").write_text("a,b\n1,2\n")
    panel = opened(tab, show, "home")
    panel.get_by_role("button", name="table.csv", exact=True).click()
    panel.get_by_role("button", name="Copy: Location").click()
    panel.get_by_text("Location copied.").wait_for()
    assert tab.evaluate(CLIPBOARD) == "home:/table.csv"
    panel.get_by_role("button", name="Copy: At the storage (SURL)").click()
    panel.get_by_text("(SURL) copied.").wait_for()
    assert tab.evaluate(CLIPBOARD) == (site.folder / "home/table.csv").as_uri()
    panel.get_by_role("button", name="Share").click()
    panel.get_by_text("It gives nobody a right").wait_for()
    panel.get_by_role("button", name="Use in this notebook").click()
    panel.get_by_text("Copied. Paste it into a cell.").wait_for()
    assert 'pd.read_csv("scigate://home/table.csv")' in tab.evaluate(CLIPBOARD)
    tab.evaluate("__scigate.notebook = { insert: (code) => { window.cell = code; return true; } }")
    panel.get_by_role("button", name="Use in this notebook").click()
    panel.get_by_text("A cell was added").wait_for()
    assert "scigate://home/table.csv" in tab.evaluate("cell")
    panel.get_by_role("button", name="Delete…").click()
    panel.get_by_role("button", name="Keep it").click()
    assert (site.folder / "home/table.csv").exists()
    panel.get_by_role("button", name="Delete…").click()
    panel.get_by_role("button", name="Delete table.csv").click()
    panel.get_by_role("button", name="table.csv", exact=True).wait_for(state="detached")
    assert not (site.folder / "home/table.csv").exists()


def test_a_file_is_sent_from_home(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    (site.folder / "home/notes.md").write_text("notes")
    panel = opened(tab, show, "home")
    panel.get_by_role("button", name="notes.md", exact=True).click()
    panel.get_by_role("button", name="Send to…").click()
    dialog = tab.get_by_role("dialog", name="Send notes.md")
    dialog.get_by_label("To storage").select_option("lab")
    dialog.get_by_label("Folder", exact=True).fill("from-home")
    dialog.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("notes.md is on its way").wait_for()
    wait_until((site.folder / "lab/from-home/notes.md").exists)
    assert (site.folder / "lab/from-home/notes.md").read_text() == "notes"


def test_a_long_name_stays_inside_the_dialog(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    name = "long_" * 45
    (site.folder / "home" / name).write_text("notes")
    panel = opened(tab, show, "home")
    panel.get_by_role("button", name=name, exact=True).click()
    panel.get_by_role("button", name="Send to…").click()
    head = tab.get_by_role("dialog").locator(".scigate-head")
    head.wait_for()
    assert head.evaluate("(head) => head.scrollWidth <= head.clientWidth")
    tab.keyboard.press("Escape")


def test_keys_are_no_shortcuts_of_the_application(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    panel = show(tab, "files")
    tab.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    panel.get_by_role("button", name="Read again").focus()
    tab.keyboard.press("x")
    tab.keyboard.press("Alt+z")
    assert tab.evaluate("heard") == ["Alt", "z"]


def test_many_files_come_in_pages(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    for index in range(450):
        (site.folder / "archive" / f"{index:03}.dat").touch()
    panel = opened(tab, show, "archive")
    assert panel.locator("tr[data-id]").count() == 200
    for shown in (400, 450):
        panel.get_by_role("button", name="Show more").click()
        tab.wait_for_function("(count) => document.querySelectorAll('tr[data-id]').length === count", arg=shown)
    assert panel.get_by_role("button", name="Show more").count() == 0
    panel.get_by_role("button", name="000.dat", exact=True).click()
    assert panel.get_by_role("button", name="Delete…").count() == 0


def test_the_community_sees_the_newest_first(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    now = time.time()
    for age, name in enumerate(["new.vcf", "older.vcf", "oldest <b>.vcf"]):
        path = site.folder / "h3a" / name
        path.write_bytes(b"v" * 1000)
        os.utime(path, (now - 100 * age, now - 100 * age))
    panel = show(tab, "community")
    panel.locator("tr[data-id]").first.wait_for()
    assert panel.locator(".scigate-name").all_inner_texts() == ["new.vcf", "older.vcf", "oldest <b>.vcf"]
    assert panel.locator("b").count() == 0
    panel.get_by_text("3 files, 2.9 KiB, at h3a").wait_for()


def test_where_a_file_of_the_community_is_does_not_hide_its_name(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    folder = site.folder / "h3a" / "an/unusually/long/way/down/to/what/was/measured/in/that/night"
    folder.mkdir(parents=True)
    (folder / "night-7.fits").write_bytes(b"v")
    panel = show(tab, "community")
    tab.locator("body").evaluate("(body) => { body.style.width = '480px'; }")
    name = panel.get_by_text("night-7.fits", exact=True)
    name.wait_for()
    assert name.evaluate("(node) => node.scrollWidth <= node.clientWidth")


def test_what_cannot_be_read_again_is_told(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    panel = show(tab, "community")
    panel.get_by_role("combobox", name="Community").wait_for()
    panel.get_by_text("Looking for the newest files").wait_for(state="detached")
    tab.route("**/api/v1/storages*", lambda route: route.abort())
    panel.get_by_role("button", name="Read again").click()
    panel.get_by_text("The gateway cannot be reached.").wait_for()
    tab.unroute("**/api/v1/storages*")
    panel.get_by_role("button", name="Try again").click()
    panel.get_by_text("The gateway cannot be reached.").wait_for(state="detached")
    panel.locator("tr[data-id]").first.wait_for()


def test_storages_fit_into_a_side_bar(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    panel = show(tab, "files")
    panel.get_by_role("button", name="archive").wait_for()
    panel.evaluate("(panel) => { panel.style.width = '230px'; }")
    assert panel.locator(".scigate-storages button").evaluate_all(
        "(all) => all.every((one) => one.getBoundingClientRect().width <= 200)"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_look_around(
    theme: str, tab: Any, site: Any, show: Callable[..., Any], axe: Callable[[Any], None]
) -> None:
    (site.folder / "h3a/data.csv").write_text("a,b\n")
    (site.folder / "h3a/folder").mkdir(exist_ok=True)
    tab.goto(f"{site.url}static/{theme}.html")
    tab.wait_for_function("window.ready")
    community = show(tab, "community")
    community.locator("tr[data-id]").first.wait_for()
    files = show(tab, "files")
    files.get_by_role("button", name="archive").wait_for()
    axe(tab)
    files.get_by_role("button", name="h3a").first.click()
    files.get_by_role("button", name="data.csv", exact=True).click()
    files.get_by_role("button", name="Delete…").click()
    axe(tab)
    files.get_by_role("button", name="Send to…").click()
    tab.get_by_role("dialog").get_by_label("Deliver").wait_for()
    axe(tab)
    tab.keyboard.press("Escape")
    tab.get_by_role("dialog").wait_for(state="detached")


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
