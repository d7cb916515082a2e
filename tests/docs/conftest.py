"""The pages of the documentation, and the demo's own services to run their examples on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scigate.gateway_api.demo.inputs import data_folder, http_server
from scigate.gateway_api.demo.service import Service, gateway
from scigate.storage_backends.testing.servers import S3Server

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
_BLOCK = re.compile(
    r"^(?P<skip><!-- not run: (?P<why>.+?) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Example:
    """A fenced block of a page; ``why_not`` says why it is not run."""

    page: Path
    language: str
    text: str
    why_not: str | None


def examples(page: Path, language: str) -> list[Example]:
    """The blocks of this language, in order."""
    found = [Example(page, m["language"], m["text"], m["why"]) for m in _BLOCK.finditer(page.read_text())]
    return [example for example in found if example.language == language]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``page`` is run on every page, one that takes ``python_page`` on those with Python in them."""
    for argument in metafunc.fixturenames:
        language, _, what = f"_{argument}".rpartition("_")
        if what == "page":
            pages = [page for page in PAGES if not language or examples(page, language.strip("_"))]
            metafunc.parametrize(argument, pages, ids=[str(page.relative_to(ROOT)) for page in pages])


@pytest.fixture(scope="session")
def pages() -> list[Path]:
    """All pages."""
    return PAGES


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path, str], list[Example]]:
    """``blocks(page, language)``: the examples of a page."""
    return examples


@dataclass(frozen=True)
class Playground:
    """A running gateway with a POSIX and an S3 storage, and a web server with real data."""

    service: Service
    web: str


@pytest.fixture(scope="session")
def playground(
    tmp_path_factory: pytest.TempPathFactory, shared_server: Callable[[str], S3Server]
) -> Iterator[Playground]:
    """What the examples run on: the services of the demo."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "lab").mkdir()
    with (
        http_server(data_folder("skyfield_data")) as web,
        gateway(folder, folder / "lab", shared_server("seaweedfs"), web) as service,
    ):
        yield Playground(service, web)
