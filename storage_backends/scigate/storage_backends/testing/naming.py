"""Cases about names: kept byte for byte, or refused with InvalidName; never changed."""

from __future__ import annotations

from functools import partial
from typing import Final

from ..errors import InvalidName, NotFound
from .case import Bench, Case, Cases, Check, require, sample, writable

CASES = Cases("name", writable)
case = CASES.case

NAMES: Final = {
    "space": "a b  c",
    "leading-space": " a",
    "trailing-space": "a ",
    "trailing-dot": "a.",
    "leading-dot": ".hidden",
    "three-dots": "...",
    "two-dots-inside": "a..b",
    "leading-dash": "-rf",
    "percent": "%41%2F%00%",
    "plus": "a+b",
    "ampersand": "a&b=c?d#e",
    "semicolon": "a;v=1,b:c@d!$'()*",
    "quotes": "a\"b'c`d",
    "markup": "<b>&lt;\u2028",
    "backslash": "a\\b\\..\\c",
    "colon": "C:con",
    "braces": "{a}[b]*?~$HOME",
    "newline": "a\nb",
    "carriage-return": "a\rb",
    "tab": "a\tb",
    "control": "a\x01\x1b[31mb\x7f",
    "latin": "Größe-né.dat",
    "not-normal": "Gro\u0308\u00dfe",
    "emoji": "data-\U0001f9ec.fa",
    "right-to-left": "\u05d0\u202eb",
    "not-utf-8": "a\udce9\udcffb",
    "longest": "n" * 255,
    "longest-in-bytes": "ü" * 127,
    "long-path": "/".join(["d" * 60] * 12) + "/file",
    "double-slash": "a//b",
    "dot-folder": "a/./b",
    "leading-dot-folder": "./x",
    "odd-folder": "a b+%41\n/ü/-/file",
    "like-a-temporary": ".file.tmp~",
}
TWINS: Final = {
    "normal-forms": ("\u00e9", "e\u0301"),
    "case": ("Readme", "README"),
    "percent": ("%41", "A"),
    "plus-and-space": ("a+b", "a b"),
    "slash-and-percent": ("a%2Fb", "ab"),
    "dot": ("a.", "a"),
    "space": ("a ", "a"),
    "double-slash": ("f//a", "f/a"),
    "dot-folder": ("f/./a", "f/a"),
    "backslash": ("f\\a", "f/a"),
    "not-utf-8": ("a\udce9", "a\udcea"),
}
REFUSED: Final = {"nul": "a\0b", "dot-dot": "../a", "dot-dot-inside": "a/../b", "dot-dot-end": "a/.."}


def kept(name: str) -> Check:
    """The check that ``name`` makes the round trip through every method, or is refused by put."""

    def check(bench: Bench) -> None:
        path, data = bench.path(name), sample(777)
        if bench.refused(partial(bench.backend.put, path, data), InvalidName):
            require(bench.names() == [], f"it was refused and left {bench.names()}")
            return
        entry = bench.backend.stat(path)
        require(entry.path == path, f"stat calls it {entry.path!r}")
        bench.holds(path, data, bench.open_backend())
        found = bench.names()
        require(not bench.backend.limits.listable or found == [path], f"scan calls it {found}")
        bench.publish(bench.draft(path, len(data)), sample(777, 1))
        bench.holds(path, sample(777, 1))
        require(found == bench.names(), f"a draft of it became {bench.names()}")
        bench.backend.delete(path)
        bench.absent(path)

    return check


def told_apart(one: str, two: str) -> Check:
    """The check that two names that look alike are two names."""

    def check(bench: Bench) -> None:
        stored = {}
        for name, data in ((one, b"the first"), (two, b"the second")):
            path = bench.path(name)
            if not bench.refused(partial(bench.backend.put, path, data), InvalidName):
                stored[path] = data
        for path, data in stored.items():
            bench.holds(path, data)
        require(not bench.backend.limits.listable or set(bench.names()) == set(stored), f"scan: {bench.names()}")
        for path in stored:
            bench.backend.delete(path)
            bench.absent(path)

    return check


def refused(name: str) -> Check:
    """The check that no method takes ``name``."""

    def check(bench: Bench) -> None:
        path = bench.path(name)
        with bench.fails(InvalidName):
            bench.backend.put(path, b"x")
        with bench.fails(InvalidName):
            bench.draft(path, 1)
        for action in (bench.backend.stat, bench.backend.delete, bench.content):
            with bench.fails(InvalidName, NotFound):
                action(path)

    return check


for _label, _name in NAMES.items():
    CASES.append(Case(f"name.kept-{_label}", f"{_name[:40]!r} is kept or refused.", kept(_name), writable))
for _label, (_one, _two) in TWINS.items():
    _promise = f"{_one!r} and {_two!r} are two names, or one is refused."
    CASES.append(Case(f"name.apart-{_label}", _promise, told_apart(_one, _two), writable))
for _label, _name in REFUSED.items():
    CASES.append(Case(f"name.refused-{_label}", f"{_name!r} is no name.", refused(_name), writable))


@case()
def too_long(bench: Bench) -> None:
    """A name that is longer than the storage can keep is InvalidName, not a shorter one."""
    for name in ("n" * 256, "n" * 1025, "ü" * 128, "/".join(["d" * 100] * 20), "/".join(["d" * 200] * 25)):
        path = bench.path(name)
        if not bench.refused(partial(bench.backend.put, path, b"x"), InvalidName):
            require(bench.backend.stat(path).path == path, "stat calls it something else")
            bench.holds(path, b"x")
            bench.backend.delete(path)
    require(bench.names() == [], f"a refused name left {bench.names()}")


def publish_one_byte(bench: Bench, path: str) -> None:
    bench.publish(bench.draft(path, 1), b"x")


@case()
def draft_refused_alike(bench: Bench) -> None:
    """What put refuses as a name, draft refuses too, and the other way round."""
    for name in ("a//b", "./x", "a\nb", "a\udce9", "n" * 256, "a\\b", "a."):
        path = bench.path(name)
        put = bench.refused(partial(bench.backend.put, path, b"x"), InvalidName)
        draft = bench.refused(partial(publish_one_byte, bench, path), InvalidName)
        require(put == draft, f"{name[:20]!r}: put {'refuses' if put else 'takes'} it, draft does not agree")
