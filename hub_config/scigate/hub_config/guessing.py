"""How often a password may be guessed: so many tries for a user and for an address, and then one now and then.

A browser that has signed in as a user before has tries of its own for that user (OWASP: "Slow Down Online Guessing
Attacks with Device Cookies"), so that others, who use up those of everybody else, do not lock that user out.
"""

from __future__ import annotations

import hashlib
import heapq
import ipaddress
import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

MOST: Final = 100_000  # keys, some 15 MB
OF_USER_EVERY: Final = 30.0  # seconds until one more try for a user: 2,880 a day
OF_ADDRESS_EVERY: Final = 3.0  # for all users together
OF_BROWSER_EVERY: Final = 10.0
WAITING: Final = 64  # tries of strangers that are compared, or wait for it
BUSY: Final = 5.0  # seconds to come back after


@dataclass(frozen=True)
class Limit:
    """``burst`` tries at once, and one more each ``every`` seconds."""

    burst: int
    every: float


class TooMany(Exception):
    """No more tries for now; ``wait`` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many tries; the next one in {wait:.0f} s")
        self.wait = wait


@dataclass(frozen=True)
class Admission:
    """A try that may be made: what it is counted for, and the threads in which the password is compared."""

    limits: Mapping[str, Limit]
    pool: ThreadPoolExecutor
    is_stranger: bool


class Guessing:
    """Admits tries. For one thread, the event loop's; what has been counted is forgotten at its end."""

    def __init__(self, of_user: int, of_address: int, most_waiting: int = WAITING) -> None:
        self._of_user, self._of_address, self._most_waiting = of_user, of_address, most_waiting
        self._tries = Tries()
        self._waiting = 0
        self._strangers = ThreadPoolExecutor(2, "passwords")
        self._known = ThreadPoolExecutor(1, "passwords-known")

    def admit(self, name: str, address: str | None, browser: str | None) -> Admission:
        """Count a try as ``name``, which ``done`` has to end. ``browser`` is known to be one of that user.

        Raises ``TooMany``; whether there is such a user makes no difference.
        """
        if browser is None and self._waiting >= self._most_waiting:
            raise TooMany(BUSY)
        limits = self._limits(name, address, browser)
        if wait := self._tries.take(limits, time.monotonic()):
            raise TooMany(wait)
        self._waiting += browser is None
        return Admission(limits, self._strangers if browser is None else self._known, browser is None)

    def done(self, admission: Admission, *, right: bool) -> None:
        """The password was compared. A right one costs no try."""
        self._waiting -= admission.is_stranger
        if right:
            self._tries.give_back(admission.limits)

    def _limits(self, name: str, address: str | None, browser: str | None) -> dict[str, Limit]:
        if browser is not None:
            return {f"browser:{browser}": Limit(self._of_user, OF_BROWSER_EVERY)}
        limits = {f"name:{name}": Limit(self._of_user, OF_USER_EVERY)}
        if address is not None:
            limits[f"address:{network(address)}"] = Limit(self._of_address, OF_ADDRESS_EVERY)
        return limits


class Tries:
    """Counts tries by the generic cell rate algorithm (ITU-T I.371): for each key the time when all are there again.

    At most ``most`` keys are kept; beyond, those that have most tries left are forgotten.
    """

    def __init__(self, most: int = MOST) -> None:
        self._full_at: dict[bytes, float] = {}
        self._most = most

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, limits: Mapping[str, Limit], now: float) -> float:
        """Take a try of every key and return 0; or, if one has none left, take none and return the seconds to wait."""
        wait = max(self._wait(key, limit, now) for key, limit in limits.items())
        if wait > 0:
            return wait
        for key, limit in limits.items():
            self._full_at[_digest(key)] = max(self._full_at.get(_digest(key), now), now) + limit.every
        if len(self._full_at) > self._most:
            self._forget(now)
        return 0.0

    def give_back(self, limits: Mapping[str, Limit]) -> None:
        """Undo one ``take``."""
        for key, limit in limits.items():
            if (at := self._full_at.get(_digest(key))) is not None:
                self._full_at[_digest(key)] = at - limit.every

    def _wait(self, key: str, limit: Limit, now: float) -> float:
        return self._full_at.get(_digest(key), now) - now - (limit.burst - 1) * limit.every

    def _forget(self, now: float) -> None:
        """Down to half, so that this is rare."""
        used = ((at, key) for key, at in self._full_at.items() if at > now)
        self._full_at = {key: at for at, key in heapq.nlargest(self._most // 2, used)}


def network(address: str) -> str:
    """What counts as one: an address of IPv4, a network of /64 of IPv6, which is the least that anybody gets."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def seconds(wait: float) -> int:
    """Whole seconds after which it is certain."""
    return max(1, math.ceil(wait))


def _digest(key: str) -> bytes:
    """Of one size, however long the name is that a stranger gives."""
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
