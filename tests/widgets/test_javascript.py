"""What of the JavaScript can be tried without a browser, on node's own test runner."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "js"
ALONE = sorted(path.name.removesuffix(".test.mjs") for path in HERE.glob("*.test.mjs") if path.name != "feed.test.mjs")


@pytest.mark.parametrize("name", ALONE)
def test_logic(name: str, run_js: Callable[..., str]) -> None:
    told = run_js(name)
    assert int(re.findall(r"^# pass (\d+)$", told, re.MULTILINE)[0]) > 1


def test_the_feed_on_a_real_gateway(run_js: Callable[..., str], running: Any) -> None:
    token = running.client.headers["Authorization"].removeprefix("Bearer ")
    told = run_js("feed", SCIGATE_URL=running.url, SCIGATE_TOKEN=token)
    assert "# pass 5" in told
