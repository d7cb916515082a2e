"""Many requests from several connections at once, each answer judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .canary_tree import MARK
from .gateway import Evil
from .wire import Headers, Reply

THREADS = 6
LEAKS = (MARK.encode(), b"root:x:0:0")


@dataclass(frozen=True)
class Shot:
    """One request."""

    method: str
    target: str | bytes
    body: bytes | Any = b""
    headers: Headers = ()

    def __str__(self) -> str:
        return f"{self.method} {self.target[:200]!r} {str(self.body)[:200]} {str(self.headers)[:200]}"


def fire(
    evil: Evil, shots: Sequence[Shot], user: str = "ada", judge: Callable[[Shot, Reply], str | None] | None = None
) -> list[str]:
    """What was wrong with the answers; ``judge`` sees every one, and adds to what is always wrong."""

    def one_thread(part: Iterable[Shot]) -> list[str]:
        wire, bad = evil.wire(user), []
        for shot in part:
            reply = wire.ask(shot.method, shot.target, shot.body, shot.headers)
            judged = judge(shot, reply) if judge else None
            if wrong := fault_of(shot, reply) or judged:
                bad.append(f"{shot}: {wrong}")
        return bad

    with ThreadPoolExecutor(THREADS) as pool:
        return [line for found in pool.map(one_thread, (shots[n::THREADS] for n in range(THREADS))) for line in found]


def fault_of(shot: Shot, reply: Reply) -> str | None:
    """No answer, a 5xx, a refusal that explains nothing, or bytes from outside the root."""
    if any(leak in reply.body or leak.decode() in str(reply.headers) for leak in LEAKS):
        return "shows what lies outside"
    return reply.fault(head=shot.method == "HEAD")
