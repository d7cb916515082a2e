"""The Python side: which portlets there are, what they hold, and that a broken one harms nobody."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import scigate.widgets as widgets
from scigate.widgets.portlet import bundle

BUILT_IN = ["status", "upload", "files", "transfers", "community", "feedback"]
SECRET = "token-that-nobody-may-see"


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_usable_alone_and_brings_its_module(name: str) -> None:
    portlet = getattr(widgets, name)()
    assert isinstance(portlet, widgets.Portlet)
    assert portlet.name == name
    assert portlet._esm == bundle(name)
    assert "export" in portlet._esm
    assert portlet.title


def test_they_are_listed_in_the_order_of_the_dashboard() -> None:
    ours = [found for found in widgets.installed() if found.package == "scigate"]
    assert [found.name for found in ours] == BUILT_IN
    assert [found.problem for found in ours] == [None] * len(BUILT_IN)
    assert [found.title for found in ours] == [found.portlet.title for found in ours if found.portlet]


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_secret_is_in_what_may_be_saved(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    for variable in ("SCIGATE_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"):
        monkeypatch.setenv(variable, SECRET)
    monkeypatch.setenv("SCIGATE_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    portlet = getattr(widgets, name)()
    state = portlet.get_state()
    assert state["base_url"] == "/user/ada/"
    assert SECRET not in repr(state)
    assert SECRET not in repr(portlet)


def test_bundles_name_no_other_host() -> None:
    """Nothing is fetched from elsewhere: whatever looks like an address is a name space or a comment on a licence."""
    for name in [*BUILT_IN, "broken", "scigate"]:
        hosts = set(re.findall(r"https?://([\w.-]+)", bundle(name)))
        assert hosts <= {"www.w3.org", "github.com", "example.org", "leeoniya.github.io"}, name


def test_the_dashboard_holds_all_and_finds_them_by_name() -> None:
    board = widgets.dashboard()
    assert [child.name for child in board.children][: len(BUILT_IN)] == BUILT_IN
    assert board["upload"] is board.children[1]
    assert repr(board).startswith("Dashboard(status, upload,")


def test_the_dashboard_holds_what_is_named_in_that_order() -> None:
    assert [child.name for child in widgets.dashboard("transfers", "status").children] == ["transfers", "status"]
    with pytest.raises(widgets.UnknownPortlet, match=r"no portlet 'nothing'\. There are: status, upload"):
        widgets.dashboard("nothing")


def test_a_bundle_that_was_not_built_is_told() -> None:
    with pytest.raises(FileNotFoundError, match=r"\./run bundles"):
        bundle("never")


PLUGINS = """
import scigate.widgets as widgets

class Lab(widgets.Portlet):
    name, title, order = "lab", "Laboratory", 15
    _esm = 'export default scigate.portlet("lab", "Laboratory", () => {});'

class Late(widgets.Portlet):
    name, title = "late", "Too late"

    def __init__(self):
        raise OSError("no instrument is connected")

NOT_A_PORTLET = "text"
"""
ENTRY_POINTS = """[scigate.portlets]
lab = lab_portlets:Lab
gone = lab_portlets:Gone
late = lab_portlets:Late
text = lab_portlets:NOT_A_PORTLET
missing = no_such_module:X
status = lab_portlets:Lab
"""
LOOK = """
import json, lab_portlets
import scigate.widgets as widgets
board = widgets.dashboard()
found = {f.name: [f.package, f.problem] for f in widgets.installed()}
shown = {c.subject: c.reason for c in board.children if type(c).__name__ == "Broken"}
lab = board["lab"]
names, is_own = [c.name for c in board.children], lab._esm.endswith(lab_portlets.Lab._esm)
print(json.dumps([found, shown, names, is_own, len(lab._esm)]))
"""


def test_plug_ins_are_found_and_broken_ones_stand_in_their_place_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "lab_portlets.py").write_text(textwrap.dedent(PLUGINS))
    info = tmp_path / "lab_portlets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-portlets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, shown, names, is_own_behind_kit, length = json.loads(done.stdout)
    assert found["lab"] == ["lab-portlets", None]
    assert found["status"] == ["scigate", None], "a plug-in does not take the place of ours"
    assert "Gone" in found["gone"][1]
    assert found["text"][1] == "TypeError: lab_portlets:NOT_A_PORTLET is not a subclass of scigate.widgets.Portlet"
    assert "no_such_module" in shown["missing"]
    assert shown["Too late"] == "OSError: no instrument is connected"
    assert set(BUILT_IN) <= set(names)
    assert names[:3] == ["status", "lab", "upload"]
    assert is_own_behind_kit
    assert length > 3000, "the kit stands in front"
