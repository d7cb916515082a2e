"""The layer that hides what has a name with a dot before it."""

from __future__ import annotations

import pytest
from scigate.storage_backends.errors import NotFound
from scigate.storage_backends.layers import compose
from scigate.storage_backends.memory import TYPE as MEMORY


def test_hidden_files_are_not_there() -> None:
    inner = MEMORY.build(MEMORY.options())
    for name in (".a", "b/.c/d", "b/e", "f"):
        inner.put(name, b"x")
    shown = compose(inner, hidden=False)
    assert [entry.path for entry in shown.scan()] == ["b/e", "f"]
    extras, about = shown.extras, {"version": None, "if_absent": False, "key": "k", "progress": lambda length: None}
    assert extras.copy is not None
    for act in (
        lambda: shown.stat(".a"),
        lambda: next(shown.read("b/.c/d")),
        lambda: list(shown.scan("b/.c/")),
        lambda: shown.put("b/.new", b"x"),
        lambda: shown.draft(".new", 1, key="k"),
        lambda: shown.delete(".a"),
        lambda: extras.copy(".a", "shown", **about),  # type: ignore[misc]
        lambda: extras.copy("f", ".hidden", **about),  # type: ignore[misc]
    ):
        with pytest.raises(NotFound):
            act()
    assert sorted(entry.path for entry in inner.scan()) == [".a", "b/.c/d", "b/e", "f"]
