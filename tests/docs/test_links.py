"""Links between the pages lead somewhere, also those to a heading."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")


def test_links_resolve(page: Path) -> None:
    broken = [target for target in _targets(page) if not _resolves(page, target)]
    assert broken == []


def test_every_page_can_be_found_from_the_index(pages: list[Path]) -> None:
    linked = {(ROOT / "docs" / target.split("#")[0]).resolve() for target in _targets(ROOT / "docs" / "README.md")}
    below = {page for page in pages if page.is_relative_to(ROOT / "docs") and page.name != "README.md"}
    assert {str(page.relative_to(ROOT)) for page in below - linked} == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def _targets(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = [match["target"] or match["image"] for match in _LINK.finditer(text)]
    return [target for target in found if not target.startswith(("https://", "http://", "mailto:"))]


def _resolves(page: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not heading or heading in _headings(file)


def _headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
