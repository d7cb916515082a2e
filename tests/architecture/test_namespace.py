"""Folders as docs/adr/0001-namespaced-folders.md decides them."""

from __future__ import annotations

from pathlib import Path

COMPONENTS = {"storage_backends", "gateway_api", "extension", "widgets", "hub_config"}


def test_there_are_exactly_the_five_components(root: Path) -> None:
    assert {name for name in COMPONENTS if (root / name).is_dir()} == COMPONENTS


def test_the_namespace_folder_holds_exactly_the_package_of_its_component(packages: dict[str, Path]) -> None:
    assert set(packages) == COMPONENTS
    for component, package in packages.items():
        found = {path.name for path in package.parent.iterdir() if path.name != "__pycache__"}
        assert found == {component}, f"an __init__.py here breaks the other components: {found}"
        assert (package / "__init__.py").is_file()
        assert (package / "py.typed").is_file()


def test_tests_are_not_packages(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


def test_the_product_is_imported_from_this_checkout(root: Path) -> None:
    import scigate.gateway_api
    import scigate.storage_backends

    assert Path(scigate.gateway_api.__file__).is_relative_to(root)
    assert Path(scigate.storage_backends.__file__).is_relative_to(root)
