"""A thin strict layer in front of a lenient S3 server: it refuses what AWS refuses, and can be as busy as AWS is.

Lenient servers hide the errors of their clients. Here every signature, length, checksum, condition and part is checked
as AWS documents it before the server below sees the request, which the layer signs anew with its own key. So a
client passes here only if it is right. ``Weather`` adds what happens to right requests on a bad day::

    with seaweedfs(folder) as lenient, strict_s3(lenient) as strict:
        strict.server                       # an S3Server like the others, with an access key of its own
        strict.weather.slow_down_every = 7

Not for production: bodies are held in memory, and uploads are known only while it runs.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .servers import S3Server
from .strict_s3_server import Listening, Seen
from .strict_s3_uploads import Uploads
from .strict_s3_weather import Weather


def _locks() -> list[threading.Lock]:
    return [threading.Lock() for _ in range(64)]


@dataclass
class StrictS3:
    """The running layer: how to reach it, what it has seen, and what it does to right requests."""

    server: S3Server
    below: S3Server
    weather: Weather = field(default_factory=Weather)
    uploads: Uploads = field(default_factory=Uploads)
    seen: list[Seen] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    """What the server below answered although it must not; such an answer is not passed on."""
    locks: list[threading.Lock] = field(default_factory=_locks, repr=False)
    """By the hash of a name: who writes there is alone between looking and writing."""

    ahead: timedelta = timedelta(0)
    """How far the layer's clock is ahead of this machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def refused(self) -> list[str]:
        """The codes of all refusals, in order."""
        return [seen.code for seen in self.seen if seen.code]


@contextmanager
def strict_s3(below: S3Server, weather: Weather | None = None) -> Iterator[StrictS3]:
    """The layer on a free loopback port, before ``below``, until the context ends."""
    listening = Listening()
    key, secret = f"AK{secrets.token_hex(8)}", secrets.token_urlsafe(24)
    endpoint = f"http://127.0.0.1:{listening.server_port}"
    server = S3Server(f"strict({below.name})", endpoint, key, secret, below.pid, None, below.bucket, below.region)
    listening.layer = layer = StrictS3(server, below, weather or Weather())
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield layer
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
