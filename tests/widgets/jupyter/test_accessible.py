"""Everybody can use it: axe finds nothing serious, in light and in dark, in every state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[3] / "widgets/js/node_modules/axe-core/axe.min.js"


def check(tab: Any, missing: Callable[[str], Any]) -> None:
    """What axe finds on the page as it is now."""
    if not AXE.is_file():
        missing("needs axe-core, which npm puts into widgets/js/node_modules: remove the bundles, then ./run bundles")
    if not tab.evaluate("'axe' in window"):
        tab.add_script_tag(path=AXE)
    found = tab.evaluate("axe.run('main', { resultTypes: ['violations'] })")["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [f"{one['id']}: {[node['html'] for node in one['nodes']][:3]}" for one in serious] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sending(
    theme: str, tab: Any, site: Any, show: Callable[..., Any], missing: Callable[[str], Any], tmp_path: Path
) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(theme)
    tab.goto(f"{site.url}static/{theme}.html")
    tab.wait_for_function("window.ready")
    panel = show(tab, "upload")
    panel.get_by_text("Disks of the lab").or_(panel.get_by_text("Shared by")).first.wait_for()
    for expected in ("Done: 2 files", "2 of 2 files failed"):
        panel.get_by_label("Files to send").set_input_files([str(tmp_path / "one.txt"), str(tmp_path / "two.txt")])
        panel.get_by_label("Folder", exact=True).fill(theme)
        panel.get_by_role("button", name="Send", exact=True).click()
        panel.get_by_text(expected, exact=True).wait_for()
    panel.get_by_label("Files to send").set_input_files([str(tmp_path / "one.txt"), str(tmp_path / "two.txt")])
    panel.get_by_label("Deliver").select_option("later")
    panel.get_by_label("or web addresses").fill("nowhere")
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("is no web address").wait_for()
    check(tab, missing)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looking_around(
    theme: str, tab: Any, site: Any, show: Callable[..., Any], missing: Callable[[str], Any]
) -> None:
    (site.folder / "h3a/data.csv").write_text("a,b\n")
    (site.folder / "h3a/folder").mkdir(exist_ok=True)
    tab.goto(f"{site.url}static/{theme}.html")
    tab.wait_for_function("window.ready")
    community = show(tab, "community")
    community.locator("tr[data-id]").first.wait_for()
    files = show(tab, "files")
    files.get_by_role("button", name="archive").wait_for()
    check(tab, missing)
    files.get_by_role("button", name="h3a").first.click()
    files.get_by_role("button", name="data.csv", exact=True).click()
    files.get_by_role("button", name="Delete…").click()
    check(tab, missing)
    files.get_by_role("button", name="Send to…").click()
    tab.get_by_role("dialog").get_by_label("Deliver").wait_for()
    check(tab, missing)
    tab.keyboard.press("Escape")
    tab.get_by_role("dialog").wait_for(state="detached")
