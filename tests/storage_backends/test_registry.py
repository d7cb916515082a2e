"""Plug-ins by real entry points: found, imported when asked for, and set aside when broken."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import ValidationError
from scigate.storage_backends.errors import Misconfigured
from scigate.storage_backends.memory import TYPE as MEMORY
from scigate.storage_backends.registry import GROUP, BackendRegistry, BackendType, Options

GOOD = """
from scigate.storage_backends.memory import MemoryBackend, Contents
from scigate.storage_backends.registry import BackendType, Options

class ShelfOptions(Options):
    label: str = "none"

def open_shelf(options, connect):
    return MemoryBackend(Contents(), 1000)

TYPE = BackendType("shelf", "a shelf of tapes", ShelfOptions, open_shelf)
"""
BROKEN = {
    "no-module": ("a_module_that_is_not_there:TYPE", "ModuleNotFoundError", None),
    "no-attribute": ("shelf_plugin:TIPE", "AttributeError", None),
    "raises": ("raising_plugin:TYPE", "RuntimeError: the robot burns", "raise RuntimeError('the robot burns')"),
    "syntax": ("unreadable_plugin:TYPE", "SyntaxError", "def ("),
    "wrong-type": ("strange_plugin:TYPE", "is a dict, not a BackendType", "TYPE = {}"),
}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path with an installed distribution that has one good and some broken plug-ins."""
    (tmp_path / "shelf_plugin.py").write_text(GOOD)
    lines = [f"[{GROUP}]", "shelf = shelf_plugin:TYPE"]
    for name, (target, _, source) in BROKEN.items():
        lines.append(f"{name} = {target}")
        if source is not None:
            (tmp_path / f"{target.partition(':')[0]}.py").write_text(source)
    dist = tmp_path / "shelf_plugin-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-plugin\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("shelf_plugin", "raising_plugin", "unreadable_plugin", "strange_plugin"):
        sys.modules.pop(name, None)


def test_the_backends_of_this_package_are_installed() -> None:
    registry = BackendRegistry()
    assert {"memory", "posix", "s3", "http"} <= set(registry.names())
    assert registry.get("memory") is MEMORY


def test_every_backend_of_this_package_can_be_imported_and_is_named_as_it_is_installed() -> None:
    registry = BackendRegistry(point for point in entry_points(group=GROUP) if point.dist.name == "scigate")
    registry.load_all()
    assert registry.broken == {}
    for name in registry.names():
        found = registry.get(name)
        assert (found.name, bool(found.summary), issubclass(found.options, Options)) == (name, True, True)


def test_a_plugin_is_found_and_opened(plugins: Path) -> None:
    found = BackendRegistry().get("shelf")
    backend = found.build(found.options(label="A3"))
    assert backend.put("file", b"x").size == 1


def test_nothing_is_imported_before_it_is_asked_for(plugins: Path) -> None:
    registry = BackendRegistry()
    assert "shelf" in registry.names()
    assert "shelf_plugin" not in sys.modules
    registry.get("shelf")
    assert "shelf_plugin" in sys.modules


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_named_with_its_reason(plugins: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    registry = BackendRegistry()
    with caplog.at_level(logging.ERROR), pytest.raises(Misconfigured, match=f"'{name}' cannot be used") as caught:
        registry.get(name)
    assert BROKEN[name][1] in caught.value.message
    assert BROKEN[name][1] in registry.broken[name]
    assert [record.getMessage() for record in caplog.records if repr(name) in record.getMessage()]


def test_broken_plugins_keep_nobody_from_working(plugins: Path) -> None:
    registry = BackendRegistry()
    registry.load_all()
    assert set(registry.broken) >= set(BROKEN)
    assert "shelf" not in registry.broken
    assert registry.get("shelf").summary == "a shelf of tapes"
    assert registry.get("memory") is MEMORY


def test_a_broken_plugin_is_imported_once_and_remembered(plugins: Path) -> None:
    registry = BackendRegistry()
    with pytest.raises(Misconfigured):
        registry.get("raises")
    (plugins / "raising_plugin.py").write_text(GOOD)
    with pytest.raises(Misconfigured):
        registry.get("raises")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured, match=r"no storage backend 'gopher'; installed: .*memory.*posix"):
        BackendRegistry().get("gopher")


def test_unknown_options_are_errors() -> None:
    with pytest.raises(ValidationError, match="capcity"):
        MEMORY.options(capcity=5)


def test_options_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MEMORY.options().capacity = 5


def test_one_options_value_is_one_storage() -> None:
    options, other = MEMORY.options(), MEMORY.options()
    MEMORY.build(options).put("file", b"x")
    assert MEMORY.build(options).stat("file").size == 1
    assert list(MEMORY.build(other).scan()) == []


def test_without_entry_points_there_is_nothing() -> None:
    registry = BackendRegistry([])
    assert registry.names() == []
    with pytest.raises(Misconfigured):
        registry.get("memory")


def test_a_type_opens_with_the_options_it_was_given() -> None:
    kind: BackendType = MEMORY
    assert kind.build(MEMORY.options(capacity=10)).limits.largest == 10
