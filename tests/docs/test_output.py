"""What the pages say was printed is what the examples print."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_PRINTED = re.compile(r"^<!-- printed -->\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(page for page in ROOT.glob("docs/**/*.md") if _PRINTED.search(page.read_text()))


@pytest.mark.parametrize("told", PAGES, ids=lambda page: page.stem)
def test_examples_print_what_the_page_says(
    told: Path, blocks: Callable[[Path, str], list[Any]], playground: Any, tmp_path: Path
) -> None:
    script = "\n".join(example.text for example in blocks(told, "python") if example.why_not is None)
    environment = {"SCIGATE_URL": playground.service.url, "SCIGATE_TOKEN_FILE": str(playground.service.token_file)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = "".join(_PRINTED.findall(told.read_text()))
    assert _lasting(done.stdout) == _lasting(said)


def test_there_are_such_pages() -> None:
    assert PAGES


def _lasting(text: str) -> list[str]:
    """Line by line, without what differs from run to run: ids."""
    return [re.sub(r"[0-9a-f]{32}", "ID", line) for line in text.splitlines()]
