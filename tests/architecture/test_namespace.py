"""Folders as docs/adr/0001-namespaced-folders.md decides them."""

from __future__ import annotations

from pathlib import Path

import pytest

COMPONENTS = {"storage_backends", "gateway_api", "extension", "widgets", "hub_config"}
WAITING = {"extension", "widgets", "hub_config"}  # their time comes later; until then a README of one line


def test_there_are_exactly_the_five_components(root: Path) -> None:
    assert {name for name in COMPONENTS if (root / name).is_dir()} == COMPONENTS


def test_the_namespace_folder_holds_exactly_the_package_of_its_component(packages: dict[str, Path]) -> None:
    assert set(packages) == COMPONENTS - WAITING
    for component, package in packages.items():
        found = {path.name for path in package.parent.iterdir() if path.name != "__pycache__"}
        assert found == {component}, f"an __init__.py here breaks the other components: {found}"
        assert (package / "__init__.py").is_file()
        assert (package / "py.typed").is_file()


@pytest.mark.parametrize("component", sorted(WAITING))
def test_a_component_whose_time_has_not_come_is_one_line(root: Path, component: str) -> None:
    tracked = [path for path in (root / component).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path.name for path in tracked] == ["README.md"]
    assert len(tracked[0].read_text().splitlines()) == 1


def test_tests_are_not_packages(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


def test_the_product_is_imported_from_this_checkout(root: Path) -> None:
    import scigate.gateway_api
    import scigate.storage_backends

    assert Path(scigate.gateway_api.__file__).is_relative_to(root)
    assert Path(scigate.storage_backends.__file__).is_relative_to(root)
