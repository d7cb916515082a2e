"""The examples of docs/how-to/use-the-python-client.md, run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "use-the-python-client.md"


def test_the_examples_run(
    gateway_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in gateway_process.environment().items():
        monkeypatch.setenv(name, value)
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(examples) >= 8
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, str(DOCUMENT), "exec"), names)
    names["gateway"].close()
    said = capsys.readouterr().out
    assert "TransferState.DONE" in said or "DONE 1 1000" in said
    assert "not-there.dat not-found" in said
    assert (tmp_path / "copy-of-a.dat").read_bytes() == bytes(1000)
