"""Sending from a page: cut, paused, reloaded, as a folder, from an address; and what cannot be sent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MB = 1_000_000
SLOW = 4 * MB  # bytes per second, so that something is still to be sent when it is cut, however late that is
HOSTILE = ["<img src=x onerror=hacked=1>.txt", "report\u202efdp.exe", "two\nlines.csv", "&lt;b&gt; 'x' \"y\".txt"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one file."""
    (tmp_path / "measured.h5").write_bytes(b"measured" * 10_000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def some_file(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    path.write_bytes(os.urandom(MB) * (size // MB))
    return path


def slow_down(tab: Any, rate: int = SLOW) -> Any:
    """Upload no faster than this; what is returned ends it with ``slow_down(...)(-1)``."""
    session = tab.context.new_cdp_session(tab)
    session.send("Network.enable")

    def limit(rate: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
        session.send("Network.emulateNetworkConditions", conditions)

    limit(rate)
    return limit


def offsets(tab: Any) -> list[int]:
    """Where each ``PATCH`` from now on begins."""
    found: list[int] = []

    def seen(request: Any) -> None:
        if request.method == "PATCH":
            found.append(int(request.headers["upload-offset"]))

    tab.on("request", seen)
    return found


def choose(panel: Any, *paths: Path, storage: str = "lab", folder: str = "") -> None:
    panel.get_by_label("Files to send").set_input_files([str(path) for path in paths])
    place(panel, storage, folder)


def place(panel: Any, storage: str, folder: str) -> None:
    panel.get_by_label("To storage").select_option(storage)
    panel.get_by_label("Folder", exact=True).fill(folder)


def arrives(tab: Any, panel: Any, at_least: int) -> None:
    """Until so many percent of the first send are at the gateway."""
    script = """([bar, percent]) => Number(bar.getAttribute("aria-valuenow")) >= percent"""
    bar = panel.get_by_label("To the gateway").first.element_handle()
    tab.wait_for_function(script, arg=[bar, at_least])


def test_a_killed_gateway_costs_no_byte_that_had_arrived(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    path = some_file(tmp_path, "big.bin", 100 * MB)
    panel = show(tab, "upload")
    begun = offsets(tab)
    limit = slow_down(tab)
    choose(panel, path, folder="cut/")
    began = time.monotonic()
    panel.get_by_role("button", name="Send", exact=True).click()
    arrives(tab, panel, 4)
    site.gateway.end(signal.SIGKILL)
    panel.get_by_text("trying again").wait_for()
    limit(-1)
    site.start_gateway()
    panel.get_by_text("Done", exact=True).wait_for()
    assert (site.folder / "lab/cut/big.bin").read_bytes() == path.read_bytes()
    assert begun[0] == 0
    assert begun[-1] > 0
    assert set(tab.evaluate("model.state")) == {"transfer_ids", "state", "progress"}
    tab.wait_for_function("model.state.state === 'received'")
    told = tab.evaluate("model.state")
    assert (told["state"], told["progress"], len(told["transfer_ids"])) == ("received", 1, 1)
    assert tab.evaluate("model.saved") < 5 + time.monotonic() - began, "at most once a second"
    (transfer,) = told["transfer_ids"]
    assert site.client().get(f"transfers/{transfer}").json()["state"] == "DONE"


def begun_and_reloaded(tab: Any, show: Callable[..., Any], path: Path, folder: str) -> Any:
    """Some of the file is at the gateway, the page is loaded again, and the panel says what is not finished."""
    panel = show(tab, "upload")
    limit = slow_down(tab, 2 * MB)  # so that it can be paused before all has been sent, however late
    choose(panel, path, folder=folder)
    panel.get_by_role("button", name="Send", exact=True).click()
    arrives(tab, panel, 10)
    panel.get_by_role("button", name=f"Pause {path.name}").click()
    panel.get_by_text("Paused", exact=True).wait_for()
    limit(-1)
    tab.reload()
    tab.wait_for_function("window.ready")
    panel = show(tab, "upload")
    panel.get_by_text(f"Not finished: {path.name}").wait_for()
    return panel


def test_after_a_reload_the_same_file_goes_on(tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path) -> None:
    path = some_file(tmp_path, "reloaded.bin", 60 * MB)
    panel = begun_and_reloaded(tab, show, path, "reload/")
    begun = offsets(tab)
    panel.get_by_label("Files to send").set_input_files(str(path))
    assert panel.get_by_label("Folder", exact=True).input_value() == "reload/"
    panel.get_by_role("button", name="Continue").click()
    panel.get_by_text("Done", exact=True).wait_for()
    assert begun[0] > 0
    assert (site.folder / "lab/reload/reloaded.bin").read_bytes() == path.read_bytes()
    assert panel.get_by_text("Not finished").count() == 0


def test_a_file_that_only_looks_the_same_is_sent_anew(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    path = some_file(tmp_path, "rewritten.bin", 60 * MB)
    panel = begun_and_reloaded(tab, show, path, "rewritten/")
    transfers = site.client().get("transfers").json()["items"]
    (earlier,) = (one["id"] for one in transfers if one["label"] == "rewritten.bin")
    changed = path.stat().st_mtime_ns
    some_file(tmp_path, "rewritten.bin", 60 * MB)  # other bytes, and as many
    os.utime(path, ns=(changed, changed))
    begun = offsets(tab)
    panel.get_by_label("Files to send").set_input_files(str(path))
    panel.get_by_role("button", name="Continue").click()
    panel.get_by_text("Done", exact=True).wait_for()
    assert (site.folder / "lab/rewritten/rewritten.bin").read_bytes() == path.read_bytes()
    assert begun[0] == 0
    panel.get_by_text("not the beginning of this file").first.wait_for()
    assert len(tab.workers) == 1, "what is read is read beside the page"
    assert site.client().get(f"transfers/{earlier}").json()["state"] == "CANCELLED"


def test_what_is_damaged_on_its_way_is_not_delivered_and_sent_again(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    path = some_file(tmp_path, "damaged.bin", MB)
    flipped = bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    damaged = []

    def damage(route: Any) -> None:
        hit = route.request.method == "PATCH" and not damaged
        damaged.extend([flipped] if hit else [])
        route.continue_(post_data=flipped) if hit else route.continue_()

    tab.route("**/uploads/*", damage)
    panel = show(tab, "upload")
    choose(panel, path, folder="damaged/")
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("Done", exact=True).wait_for()
    assert damaged
    assert (site.folder / "lab/damaged/damaged.bin").read_bytes() == path.read_bytes()
    panel.get_by_text("so it is sent anew").first.wait_for()


def test_a_folder_is_one_transfer_and_its_names_are_only_text(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run7"
    (folder / "plots").mkdir(parents=True)
    for index, name in enumerate(HOSTILE):
        (folder / "plots" / name).write_bytes(b"x" * index)
    (folder / "README").write_text("read me")
    panel = show(tab, "upload")
    panel.get_by_label("Folder to send").set_input_files(str(folder))
    panel.get_by_text("run7/ (5 files)", exact=True).wait_for()
    panel.get_by_text("Show the names").click()
    assert panel.locator(".scigate-chosen li").count() == 5
    place(panel, "lab", "sent")
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("Done: 5 files", exact=True).wait_for()
    sent = site.folder / "lab/sent/run7"
    assert {path.name: path.stat().st_size for path in (sent / "plots").iterdir()} == {
        name: index for index, name in enumerate(HOSTILE)
    }
    assert (sent / "README").read_text() == "read me"
    tab.wait_for_function("model.state.transfer_ids.length === 1")
    assert tab.evaluate("typeof hacked") == "undefined"
    assert panel.locator("img").count() == 0


def test_an_address_is_fetched_by_the_gateway(tab: Any, site: Any, web: str, show: Callable[..., Any]) -> None:
    panel = show(tab, "upload")
    place(panel, "lab", "pulled/")
    panel.get_by_label("or web addresses").fill(f"{web}/measured.h5")
    panel.get_by_role("button", name="Fetch", exact=True).click()
    panel.get_by_text("Done", exact=True).wait_for()
    assert (site.folder / "lab/pulled/measured.h5").read_bytes() == b"measured" * 10_000


def test_what_cannot_be_is_said_in_words(tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path) -> None:
    (site.folder / "lab/there.txt").write_text("it was here before")
    path = tmp_path / "there.txt"
    path.write_text("new")
    panel = show(tab, "upload")
    send = panel.get_by_role("button", name="Send", exact=True)
    assert send.is_disabled()
    choose(panel, path)
    send.click()
    panel.get_by_text("The destination exists already").first.wait_for()
    assert (site.folder / "lab/there.txt").read_text() == "it was here before"
    panel.get_by_label("or web addresses").fill("example.org/data.h5")
    panel.get_by_role("button", name="Fetch").or_(send).click()
    panel.get_by_text("“example.org/data.h5” is no web address").wait_for()
    panel.get_by_label("or web addresses").fill("")
    choose(panel, path, folder="../up")
    send.click()
    panel.get_by_text("cannot hold “.” or “..”").wait_for()
    choose(panel, path, folder="later")
    panel.get_by_label("Needed by").fill("2020-01-01T00:00")
    send.click()
    panel.get_by_text("The deadline has passed already").wait_for()


def test_long_names_stay_inside_and_pausing_keeps_the_focus(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    long = [some_file(tmp_path, name * 110, 30 * MB) for name in ("a_", "b_")]
    panel = show(tab, "upload")
    panel.evaluate("(panel) => { panel.style.width = '300px'; }")
    choose(panel, *long, folder="long")
    panel.get_by_text("Show the names").click()
    drop = panel.locator(".scigate-drop")
    assert drop.evaluate("(node) => node.scrollWidth <= node.clientWidth && node.clientWidth < 300")
    slow_down(tab, 2 * MB)
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_role("button", name="Pause 2 files").focus()
    tab.keyboard.press("Enter")
    panel.get_by_role("button", name="Continue", exact=True).wait_for()
    assert tab.evaluate("document.activeElement.textContent") == "Continue"
    panel.get_by_role("button", name="Cancel 2 files").click()
    panel.get_by_text("Cancelled", exact=True).wait_for()


def test_a_time_to_begin_is_kept(tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "tonight.txt"
    path.write_text("at night")
    panel = show(tab, "upload")
    choose(panel, path, folder="night/")
    panel.get_by_label("Deliver").select_option("later")
    begins = datetime.now() + timedelta(days=2)  # noqa: DTZ005 as the browser, in local time
    panel.get_by_label("Not before").fill(f"{begins:%Y-%m-%dT20:00}")
    panel.get_by_label("Needed by").fill(f"{begins + timedelta(days=1):%Y-%m-%dT08:00}")
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text(f"Begins {begins.day} ").wait_for()
    tab.wait_for_function("model.state.transfer_ids?.length === 1")
    (id,) = tab.evaluate("model.state.transfer_ids")
    client, seen = site.client(), {}
    end = time.monotonic() + 120
    while (seen.get("cause") or {}).get("code") != "scheduled":  # and no longer that it waits for its sender
        assert time.monotonic() < end, seen
        seen = client.get(f"transfers/{id}").json()
    assert seen["state"] == "WAITING"
    panel.get_by_role("button", name="Cancel tonight.txt").click()
    panel.get_by_text("Cancelled", exact=True).first.wait_for()
    assert not (site.folder / "lab/night/tonight.txt").exists()


DROP = """([panel, name, text, link]) => {
  const transfer = new DataTransfer();
  if (name) transfer.items.add(new File([text], name, { lastModified: 1e12 }));
  if (link) transfer.setData("text/uri-list", link);
  const box = panel.querySelector(".scigate-drop");
  for (const type of ["dragover", "drop"])
    box.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
}"""


def test_files_and_links_are_dropped(tab: Any, site: Any, show: Callable[..., Any]) -> None:
    panel = show(tab, "upload")
    place(panel, "lab", "dropped")
    element = panel.element_handle()
    tab.evaluate(DROP, [element, "", "", "https://example.org/a.h5"])
    assert panel.get_by_label("or web addresses").input_value() == "https://example.org/a.h5"
    panel.get_by_label("or web addresses").fill("")
    tab.evaluate(DROP, [element, "notes.txt", "dropped text", ""])
    panel.get_by_text("notes.txt", exact=True).wait_for()
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("Done", exact=True).wait_for()
    assert (site.folder / "lab/dropped/notes.txt").read_text() == "dropped text"
    assert (site.folder / "lab/dropped/notes.txt").stat().st_size == 12


def test_of_a_folder_what_is_there_already_does_not_keep_the_rest(
    tab: Any, site: Any, show: Callable[..., Any], tmp_path: Path
) -> None:
    (site.folder / "lab/partly").mkdir()
    (site.folder / "lab/partly/b.txt").write_text("older")
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("new")
    panel = show(tab, "upload")
    choose(panel, *(tmp_path / f"{name}.txt" for name in "abc"), folder="partly")
    panel.get_by_role("button", name="Send", exact=True).click()
    panel.get_by_text("1 of 3 files failed", exact=True).wait_for()
    found = {path.name: path.read_text() for path in (site.folder / "lab/partly").iterdir()}
    assert found == {"a.txt": "new", "b.txt": "older", "c.txt": "new"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_send(
    theme: str, tab: Any, site: Any, show: Callable[..., Any], axe: Callable[[Any], None], tmp_path: Path
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
    axe(tab)
