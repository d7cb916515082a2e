"""A thousand names that have led out of somebody's folder, as they go into a URL and into JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, cycle, product
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

DOTS: Final = (
    "..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e", "%25252e%25252e", "%c0%ae%c0%ae", "%c0%2e%c0%2e",
    "%e0%80%ae%e0%80%ae", "%f0%80%80%ae%f0%80%80%ae", "%c0%ae.", "．．", "‥", "․․", "。。", "..%00", "%00..", "..;",
    "..;x=y", "...", "....", "..%20", "..%09", "..%0a", "..%0d%0a", "..%ff", "..%e2%80%8b", "..%c2%ad", "%ef%bb%bf..",
    "..%e2%80%ae", "~", "..%3f", "..%23", "%2e%2e%2e%2e", "..%u002e",
)  # fmt: skip
"""Ways to say "the folder above", right for somebody: encodings, over-long UTF-8, look-alikes, cut-off suffixes."""

SLASHES: Final = (
    "/", "%2f", "%2F", "\\", "%5c", "%255c", "%252f", "%c0%af", "%e0%80%af", "%c1%9c", "∕", "⁄", "／", "＼", "//",
    "/./", "%2f%2f", "/%2e/", "/;/", "%00/", "/%00", "\\/", "%0a/", "¥",
)  # fmt: skip

TARGETS: Final = ("canary.txt", "lab-outside/canary.txt", "etc/passwd", "file", "")
PREFIXES: Final = ("", "folder/", "./", "file/", "a/b/", "/")
DEPTHS: Final = (1, 2, 3, 8)

WINDOWS: Final = (
    "C:/canary.txt", "C:\\canary.txt", "c:canary.txt", "//server/share/canary.txt", "\\\\server\\share\\canary.txt",
    "\\\\?\\C:\\canary.txt", "\\\\.\\C:", "CON", "PRN", "AUX", "NUL", "COM1", "LPT1", "CON.txt", "nul.tar.gz",
    "file::$DATA", "file:stream", "folder/NUL", "CLOCK$", "aux ", "con.", "..\\..\\windows\\win.ini",
    "%5c%5cserver%5cshare",
    "PROGRA~1", "canary~1.txt", "file.", "file ", "file...", "file. . .", "folder.", "folder /x",
)  # fmt: skip
ABSOLUTE: Final = (
    "/etc/passwd", "//etc/passwd", "///etc/passwd", "%2fetc%2fpasswd", "%2f%2fetc/passwd", "file:///etc/passwd",
    "file:/etc/passwd", "/proc/self/environ", "/proc/self/cwd/canary.txt", "/proc/1/root/etc/passwd", "/dev/zero",
    "/dev/fd/0", "proc/self/environ", "dev/stdin", "~/canary.txt", "~root/canary.txt", "$HOME/canary.txt", "${HOME}",
    "`id`", "$(id)", "|id", ";id", "-rf", "--help", "*", "?", "[a-z]*", "{a,b}", "!", "%", "%%", "%2", "%zz", "%25",
)  # fmt: skip
CONTROL: Final = tuple(
    f"{before}%{code:02x}{after}"
    for code in (*range(0x20), 0x7F, 0x80, 0x85, 0x9B, 0xA0, 0xAD, 0xC0, 0xFE, 0xFF)
    for before, after in (("file", ""), ("", "file"), ("..", "/canary.txt"))
)
UNICODE: Final = (
    "\u202etxt.yranac", "file\u202egpj.exe", "\u202a..\u202c/canary.txt", "\ufeff../canary.txt",
    "\u200b..\u200b/canary.txt", "‥/canary.txt",
    "․․/canary.txt", "︰/canary.txt", "︙/canary.txt", "﹒﹒/canary.txt", "．．／canary.txt", "..∕canary.txt",
    "..⁄canary.txt", "..⧸canary.txt", "..╱canary.txt", "..╲canary.txt", "..／canary.txt", "..＼canary.txt",
    "..﹨canary.txt", "..⧵canary.txt", "café", "cafe%cc%81", "Å", "%e2%84%ab", "ﬁle", "file\u2028", "file\u0085",
    "%ed%a0%80", "%ed%b2%80", "%ed%a0%80%ed%b0%80", "%f4%90%80%80", "%fe%fe%ff%ff", "%c3%28", "%80", "%f8%88%80%80%80",
    "ſcigate", "ｆile", "𝓯ile", "０", "%ef%bf%bf", "%ef%bf%bd", "\U000e0001..", "a" + "%cc%81" * 100,
)  # fmt: skip
LONG: Final = (
    "a" * 255, "a" * 256, "a/" * 127 + "a", "a/" * 2047 + "a", "a" * 4096, "a" * 4097, "../" * 300 + "etc/passwd",
    "%2e%2e%2f" * 300 + "etc/passwd", "./" * 1000 + "canary.txt", "a/../" * 500 + "../canary.txt", "/" * 1000,
    "é" * 128, "é" * 127, "a" * 255 + "/../../canary.txt", "." * 255, "." * 256, " " * 200, ";" * 500, "%00" * 300,
    "a" * 9000, "../" * 3000, "%2e" * 2000,
)  # fmt: skip
OWN: Final = (
    ".scigate-draft", ".scigate-", "folder/.scigate-x", ".SCIGATE-x", "%2escigate-x", ".scigate-x/file", "lab:/file",
    "peer:/file", "mem:/file", "staging:/file", "lab:/../canary.txt", "http://127.0.0.1/file", "s3://bucket/key",
    "folder/..", "folder/../file", "folder/../../canary.txt", "folder/./file", "folder//file", "file/", "file/.",
    "file/..", "file/../file", ".", "./", "..", "../", "/", "//", "/.", "/..", "...", "....", ". ", " .", " ..",
    ".. ", ".../", ".hidden", "folder/.", "link", "link/canary.txt", "uplink", "uplink/canary.txt",
    "rootlink/etc/passwd", "selflink", "selflink/x", "proclink/environ", "fifo", "socket", "?meta=1", "#fragment",
    "file?archive=zip", "a=b&c=d",
)  # fmt: skip


def combined() -> Iterator[str]:
    """Every way to say "above" with every way to say "slash"; depth, target and prefix take turns."""
    turns = zip(cycle(DEPTHS), cycle(TARGETS), cycle(PREFIXES), cycle((0, 0, 1)), count())
    for dots, slash in product(DOTS, SLASHES):
        depth, target, prefix, _, _ = next(turns)
        yield prefix + (dots + slash) * depth + target.replace("/", slash)


def all_attacks() -> list[str]:
    """The names as they go into a URL: percent-encoded where they say so, anything else as it stands."""
    named = (*WINDOWS, *ABSOLUTE, *CONTROL, *UNICODE, *LONG, *OWN)
    return list(dict.fromkeys([*combined(), *named]))


def in_url(attack: str) -> str:
    """``attack`` as the end of a request target: only what cannot stand there at all is encoded."""
    raw = attack.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte not in b"?#" else f"%{byte:02X}" for byte in raw)


def in_json(attack: str) -> list[str]:
    """The same as strings of a JSON body: as it stands, and decoded once as a URL would be."""
    decoded = unquote_to_bytes(attack.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return list(dict.fromkeys([attack, decoded]))


def in_header(attack: str) -> bytes:
    """The decoded bytes, percent-encoded again, for query strings."""
    return quote_from_bytes(unquote_to_bytes(attack.encode("utf-8", "surrogateescape")), safe="").encode()
