"""The portlets in a real browser, next to a real gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scigate.widgets.portlet import KIT, bundle

ROOT = Path(__file__).parents[2]
THEMES = {
    "light": """:root { --jp-layout-color0: #fff; --jp-layout-color1: #fff; --jp-layout-color2: #eee;
        --jp-ui-font-color1: rgb(0 0 0 / 87%); --jp-ui-font-color2: rgb(0 0 0 / 54%);
        --jp-border-color2: #e0e0e0; --jp-brand-color1: #1976d2; --jp-ui-inverse-font-color1: #fff;
        --jp-error-color1: #d32f2f; --jp-warn-color1: #f57c00; --jp-success-color1: #388e3c; }""",
    "dark": """:root { --jp-layout-color0: #111; --jp-layout-color1: #212121; --jp-layout-color2: #424242;
        --jp-ui-font-color1: rgb(255 255 255 / 87%); --jp-ui-font-color2: rgb(255 255 255 / 54%);
        --jp-border-color2: #424242; --jp-brand-color1: #2196f3; --jp-ui-inverse-font-color1: #000;
        --jp-error-color1: #f44336; --jp-warn-color1: #ff9800; --jp-success-color1: #4caf50; }
        body { background: #111; }""",
}  # as of Lab 4
HOSTILE = '<img src=x onerror="window.hurt=1">\u202egpj'


@pytest.fixture
def open_page(browser: Any, running: Any) -> Iterator[Callable[..., Any]]:
    """``open_page("transfers")``: a new page with these portlets. At its end nothing may have gone wrong on it."""
    contexts, errors = [], []

    def show(*names: str, user: str = "ada", watch: Callable[[Any], None] = lambda page: None, **traits: Any) -> Any:
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        contexts.append(context)
        context.add_cookies([{"name": "user", "value": user, "url": running.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda answer: errors.append(answer.url) if answer.status >= 400 else None)
        page.set_default_timeout(60_000)
        watch(page)
        page.goto(running.page(*names, **traits))
        page.wait_for_function("window.shown")
        return page

    yield show
    for context in contexts:
        context.close()
    assert errors == []


def test_status_says_in_words_how_the_gateway_is(open_page: Callable[..., Any], running: Any) -> None:
    page = open_page("status")
    active = running.client.get("/api/v1/status").json()["users_active"]  # perhaps somebody of another test as well
    assert active >= 1
    status = page.locator("section.scigate-status[aria-label=Gateway]")
    assert status.locator(".scigate-badge").first.inner_text() == "Everything works"
    assert re.search(rf"Active users\s+{active}\b", status.locator(".scigate-numbers").inner_text())
    rows = status.locator("tbody tr")
    assert {row.get_attribute("data-id") for row in rows.all()} == {"lab", "archive"}
    assert re.search(r"[\d.]+ [GT]iB of", status.locator("tr[data-id=lab]").inner_text())
    assert "scigate.toml" in status.locator(".scigate-about").inner_text()


LONG = "archive-of-the-community-with-a-long-name"
CUT_OFF = """(section) => [...section.querySelectorAll("*")]
  .filter((one) => !one.closest("thead, caption, svg, .scigate-hidden"))
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
  .map((one) => one.outerHTML)"""


def test_in_a_side_bar_all_of_the_status_can_be_read(open_page: Callable[..., Any]) -> None:
    def name_it(route: Any) -> None:
        answer = route.fetch().json()
        answer["items"][0] |= {"name": LONG, "nearest": True, "read_only": True, "state": "unknown"}
        answer["items"][0] |= {"expected_rate": 123_456_789.0, "space": {"free": 1 << 50, "total": 1 << 51}}
        route.fulfill(json=answer)

    page = open_page("status", watch=lambda page: page.route("**/api/v1/storages*", name_it))
    status = page.locator("section.scigate-status")
    status.locator(f"tr[data-id={LONG}]").wait_for()
    for width in (220, 250, 420, 560, 900):
        page.locator("main").evaluate("(main, width) => { main.style.width = `${width}px`; }", width)
        if width <= 420:
            assert status.evaluate(CUT_OFF) == []
        for text in ("nearest", "read only", "Not tried yet", "about 118 MiB/s", "1 PiB"):
            assert status.locator(f"tr[data-id={LONG}]").get_by_text(text).first.is_visible()


WIDE_AS_SHOWN = """(section) => {
  const [name, scroll] = [".scigate-opener .scigate-clip", ".scigate-scroll"].map((one) => section.querySelector(one));
  return [name.scrollWidth <= name.clientWidth, scroll.scrollWidth <= scroll.clientWidth];
}"""


def test_a_transfer_can_be_read_at_any_width(open_page: Callable[..., Any], running: Any) -> None:
    sent = running.submit("detector.raw")

    def hasten(route: Any) -> None:
        answer = route.fetch().json()
        moving = {"state": "ACTIVE", "cause": None, "rate": 2.2e6, "expected_rate": 1.5e7, "eta_seconds": 400}
        told = [one | moving | {"bytes_total": 1 << 30} for one in answer.get("items", [answer]) if one["id"] == sent]
        route.fulfill(json=answer | {"items": told} if "items" in answer else told[0])

    asked = re.compile(rf"/api/v1/transfers(\?.*|/{sent})$")
    page = open_page("transfers", watch=lambda page: page.route(asked, hasten))
    page.locator(f"tr[data-id='{sent}']").wait_for()
    portlet = page.locator("section.scigate-transfers")
    for width in (230, 420, 521, 605, 761, 1000):
        page.locator("main").evaluate("(main, width) => { main.style.width = `${width}px`; }", width)
        assert portlet.evaluate(WIDE_AS_SHOWN) == [True, True], width
        for text in ("Moving", "2.1 MiB/s", "expected 14.3 MiB/s", "7 min", "0 B of 1 GiB"):
            assert portlet.get_by_text(text).first.is_visible(), (width, text)


def test_transfers_appear_move_and_end_by_themselves(open_page: Callable[..., Any], running: Any) -> None:
    page = open_page("transfers")
    page.wait_for_selector(".scigate-transfers .scigate-foot", state="attached")
    page.evaluate("document.activeElement.blur()")
    sent = running.send("lab/live/a.bin", label="Live one")
    page.wait_for_selector(f".scigate-transfers tr[data-id='{sent}'][data-state=DONE]")
    row = page.locator(f"tr[data-id='{sent}']")
    assert re.match(r"Live one\s+1 file · .*\d\d:\d\d, took", row.inner_text())
    assert row.locator(".scigate-badge").inner_text() == "Done"
    assert row.locator("[role=progressbar]:visible").get_attribute("aria-valuenow") == "100"
    page.wait_for_function("document.querySelector('.scigate-transfers [role=status].scigate-hidden').textContent")


def test_details_show_facts_files_and_the_journal(open_page: Callable[..., Any], running: Any) -> None:
    sent = running.send("lab/details/b.bin", label="With details")
    page = open_page("transfers")
    page.wait_for_selector(f"tr[data-id='{sent}'][data-state=DONE]")
    opener = page.locator(f"tr[data-id='{sent}'] .scigate-opener")
    opener.focus()
    page.keyboard.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true"
    details = page.locator(".scigate-details")
    details.locator(".scigate-files-of tbody tr").wait_for()
    assert "lab:/details/b.bin" in details.inner_text()
    assert sent in details.locator(".scigate-facts").inner_text()
    details.locator("summary").click()
    details.locator(".scigate-journal").get_by_text("Visible at its destination").first.wait_for()
    assert page.evaluate("window.models.transfers.selected") == sent
    page.keyboard.press("Shift+Tab")
    opener.click()
    assert details.count() == 0
    assert page.evaluate("window.models.transfers.selected") == ""


def test_a_transfer_is_paused_resumed_and_cancelled_with_the_keyboard(
    open_page: Callable[..., Any], running: Any
) -> None:
    sent = running.submit("Held")
    page = open_page("transfers")
    row = page.locator(f"tr[data-id='{sent}']")
    row.locator("[data-focus=pause]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"tr[data-id='{sent}'][data-state=PAUSED]")
    row.locator("[data-focus=resume]").wait_for()
    assert page.evaluate("document.activeElement.closest('tr')?.dataset.id") == sent, "focus stays in its row"
    row.locator("[data-focus=cancel]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Keep"
    row.get_by_role("button", name="Cancel it").click()
    page.wait_for_selector(f"tr[data-id='{sent}'][data-state=CANCELLED]")


def test_hostile_names_are_text(open_page: Callable[..., Any], running: Any) -> None:
    sent = running.send("lab/%3Cimg%20src%3Dx%20onerror%3D%22window.hurt%3D1%22%3E", label=HOSTILE[:40])
    page = open_page("transfers", "feedback", versions={"<b>x</b>": HOSTILE})
    row = page.locator(f"tr[data-id='{sent}']")
    row.locator(".scigate-opener").click()
    page.locator(".scigate-files-of tbody tr").wait_for()
    assert "<img src=x" in row.inner_text()
    assert "\ufffdgpj" in row.inner_text()
    assert page.evaluate("window.hurt") is None
    assert page.locator(".scigate img, .scigate b").count() == 0


def test_without_transfers_it_says_what_to_do(open_page: Callable[..., Any]) -> None:
    page = open_page("transfers", user="bo")
    page.locator(".scigate-empty").wait_for()
    assert "No transfers yet." in page.locator(".scigate-transfers").inner_text()
    page.get_by_role("button", name="Need attention").click()
    assert "Nothing needs your attention." in page.locator(".scigate-transfers").inner_text()


def test_feedback_leads_where_the_settings_say_with_versions(open_page: Callable[..., Any]) -> None:
    page = open_page("feedback", versions={"Python": "3.11.7"})
    page.get_by_label("What did you do").fill("It broke & burned")
    tracker = page.get_by_role("link", name="Open the tracker").get_attribute("href")
    assert tracker.startswith("https://example.org/gateway/-/issues/new?issue%5Btitle%5D=It%20broke%20%26%20burned&")
    assert "Python%203.11.7" in tracker
    assert "token" not in tracker
    assert page.get_by_role("link", name="Write the mail").get_attribute("href").startswith("mailto:help@example.org?")


def test_one_socket_for_all_and_none_when_the_page_is_done(open_page: Callable[..., Any]) -> None:
    sockets: list[Any] = []
    page = open_page(
        "status",
        "transfers",
        "feedback",
        "transfers",
        watch=lambda page: page.on("websocket", lambda socket: sockets.append(socket.url)),
    )
    page.wait_for_selector(".scigate-transfers .scigate-main >> nth=1", state="attached")
    assert len(sockets) == 1
    page.evaluate("window.ended.abort()")
    page.wait_for_function("globalThis.__scigate.feed.state === 'idle'")
    assert page.locator("section.scigate").count() == 0


def test_what_cannot_be_done_is_told_with_the_next_step(open_page: Callable[..., Any], running: Any) -> None:
    sent = running.submit("Unreachable")
    page = open_page("transfers")
    page.locator(f"tr[data-id='{sent}'] [data-focus=pause]").wait_for()
    page.context.set_offline(True)
    page.locator(f"tr[data-id='{sent}'] [data-focus=pause]").click()
    said = page.locator(".scigate-transfers [role=alert]")
    said.wait_for()
    assert said.inner_text().startswith("The gateway cannot be reached.")
    assert "Check your network." in said.inner_text()
    page.context.set_offline(False)
    page.locator(f"tr[data-id='{sent}'] [data-focus=pause]").click()
    page.wait_for_selector(f"tr[data-id='{sent}'][data-state=PAUSED]")
    assert said.count() == 0


def test_the_portlet_of_the_documentation(open_page: Callable[..., Any], running: Any) -> None:
    text = (ROOT / "docs" / "how-to" / "write-a-portlet.md").read_text()
    example = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    assert len(example.splitlines()) <= 40
    module = re.search(r'_esm = """(.*?)"""', example, re.DOTALL)
    assert module
    running.modules["space"] = f"{bundle(KIT)}\n{module[1]}"
    page = open_page("space")
    page.locator(".scigate-space meter").first.wait_for()
    assert re.search(r"lab\s+[\d.]+ \w+ free", page.locator(".scigate-space").inner_text())


def test_a_broken_plug_in_says_why(open_page: Callable[..., Any]) -> None:
    page = open_page("broken", subject="Laboratory", package="lab-portlets", reason="ImportError: <b>no driver</b>")
    text = page.locator(".scigate-broken").inner_text()
    assert "“Laboratory” cannot be shown." in text
    assert "ImportError: <b>no driver</b>" in text
    assert "lab-portlets" in text


TRIES = """
window.tries = [];
export default scigate.portlet("tries", "Tries", ({ signal }) => {
  window.tries.push(signal);
  if (window.tries.length === 1) throw new Error("once");
});
"""


def test_what_is_tried_again_has_ended_before(open_page: Callable[..., Any], running: Any) -> None:
    running.modules["tries"] = bundle(KIT) + TRIES
    page = open_page("tries")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function("window.tries.length === 2")
    assert page.evaluate("window.tries.map((signal) => signal.aborted)") == [True, False]


ROWS = """
let updates = 0;
const table = scigate.h("div", {}, scigate.h("b", {}, "head"));
function create() {
  const node = scigate.h("p", { tabindex: "0" });
  return { node, update: (item) => { node.textContent = item.text; updates += 1; } };
}
window.rows = scigate.keyedRows(table, { key: (item) => item.id, create });
window.order = () => [...table.querySelectorAll("p")].map((node) => node.textContent).join(" ");
window.updates = () => updates;
export default scigate.portlet("rows", "Rows", ({ body }) => body.append(table));
"""


def test_rows_that_stay_are_not_touched(open_page: Callable[..., Any], running: Any) -> None:
    running.modules["rows"] = bundle(KIT) + ROWS
    page = open_page("rows")
    page.wait_for_selector(".scigate-rows b")
    page.evaluate("window.items = [...'abcdef'].map((id) => ({ id, text: id })); rows.set(items)")
    assert page.evaluate("order()") == "a b c d e f"
    page.evaluate("document.querySelectorAll('p')[3].focus()")
    page.evaluate("window.more = [{ id: 'new', text: 'new' }, ...items.filter(({ id }) => id !== 'b')]; rows.set(more)")
    assert page.evaluate("order()") == "new a c d e f"
    assert page.evaluate("document.activeElement.textContent") == "d"
    assert page.evaluate("updates()") == 7, "only what is new was written"
    page.evaluate("rows.patch([{ id: 'e', text: 'E' }, { id: 'unknown', text: '?' }])")
    page.evaluate("rows.set([more[5], more[0], more[3]])")
    assert page.evaluate("order()") == "f new d"
    assert page.evaluate("document.querySelector('.scigate-rows .scigate-body > div').firstChild.textContent") == "head"


KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...values) { super(...values); window.sockets.push(this); }
};
"""


def test_after_a_cut_it_says_so_comes_back_and_has_missed_nothing(open_page: Callable[..., Any], running: Any) -> None:
    page = open_page("transfers", watch=lambda page: page.add_init_script(KEEP_SOCKETS))
    page.wait_for_selector(".scigate-transfers .scigate-main", state="attached")
    page.context.set_offline(True)
    page.evaluate("sockets[0].close()")
    notice = page.locator(".scigate-offline")
    notice.wait_for()
    assert notice.inner_text() == "Not connected; transfers go on. This page comes back by itself."
    meanwhile = running.send("lab/cut/d.bin", label="Meanwhile")
    page.context.set_offline(False)
    page.wait_for_selector(f"tr[data-id='{meanwhile}'][data-state=DONE]")
    assert notice.is_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    theme: str, open_page: Callable[..., Any], running: Any, missing: Callable[[str], Any]
) -> None:
    width = {"light": "auto", "dark": "250px"}[theme]  # as in a side bar
    axe = ROOT / "widgets" / "js" / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        missing("needs axe-core, which npm puts into widgets/js/node_modules: remove the bundles, then ./run bundles")
    sent = running.submit("Looked at by axe")
    page = open_page("status", "transfers", "feedback", "broken", subject="Lab", package="lab", reason="no driver")
    page.add_style_tag(content=THEMES[theme])
    page.locator(f"tr[data-id='{sent}'] .scigate-opener").click()
    page.locator(".scigate-files-of tbody tr").wait_for()
    page.locator(".scigate-status tbody tr").first.wait_for()
    page.locator("main").evaluate("(main, width) => { main.style.width = width; }", width)
    page.add_script_tag(path=axe)
    found = page.evaluate("axe.run('main', { resultTypes: ['violations'] })")["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    told = [f"{one['id']}: {[(node['html'], node['failureSummary']) for node in one['nodes']][:3]}" for one in serious]
    assert told == []
