"""A real JupyterHub with a gateway as its service, shared by the tests of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scigate.hub_config.testing import Hub

SETTINGS = """
[gateway]
state_dir = "{folder}/state"
[storages.lab]
type = "posix"
root = "{folder}/lab"
[storages.mem]
type = "memory"
[storages.climate]
type = "memory"
users = ["community:vo-climate"]
"""


def write_settings(folder: Path, extra: str = "") -> str:
    """The settings of a gateway with the storages lab, mem, and climate for one community."""
    (folder / "lab").mkdir(exist_ok=True)
    return SETTINGS.format(folder=folder) + extra


def make_hub(folder: Path, **options: object) -> Hub:
    """A hub, not yet started: alice and bob of vo-climate, and carol, who curates it."""
    made = Hub(folder, curators={"vo-climate": "curators-climate"}, **options)  # type: ignore[arg-type]
    made.settings.write_text(write_settings(folder))
    made.add_user("alice", "vo-climate")
    made.add_user("bob", "vo-climate")
    made.add_user("carol", "vo-climate", "curators-climate")
    return made


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], Path]) -> Iterator[Hub]:
    """A running hub with a running gateway; alice and bob are of vo-climate, carol curates it."""
    require("traefik")
    made = make_hub(tmp_path_factory.mktemp("hub"))
    try:
        made.start()
        made.ready()
        yield made
    finally:
        made.stop()
