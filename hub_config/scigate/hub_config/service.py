"""What the hub runs as its service ``scigate``: it starts the gateway, and starts it again when it ends.

JupyterHub ends itself when a managed service does not answer at the start. So the socket belongs to this small process,
which needs nothing but the standard library: while the gateway cannot start, it answers with the reason; the gateway
takes the same socket over (sd_listen_fds(3)), so that no connection is ever refused or left waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .unavailable import Outage, Request, answer

GATEWAY: Final = (sys.executable, "-c", "from scigate.gateway_api.cli import main; main()", "serve", "--json")
HAND_OVER: Final = ("/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "scigate")  # exec keeps the number
FIRST: Final = 3  # SD_LISTEN_FDS_START
DELAYS: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the next start, after so many in a row that failed
HEALTHY: Final = 60.0  # seconds; who ran so long did not fail to start
LOOK: Final = 0.5  # seconds between looks at the settings while waiting
HEAD_MAX: Final = 32 << 10  # bytes
LINE_MAX: Final = 1 << 20  # bytes
PATIENCE: Final = 10.0  # seconds for the head of a request
LINGER: Final = 2.0  # seconds in which a body is thrown away, so that its sender reads our answer
STOP: Final = 10.0  # seconds that the gateway gets; ending it by force is safe too, and the hub waits for us
MOST: Final = 500  # connections at once; a new one is worth more than the oldest, which only waits
QUEUE: Final = 1024  # connections that wait to be accepted
PR_SET_PDEATHSIG: Final = 1

log = logging.getLogger("scigate")


def main() -> int:
    """Serve until SIGTERM or SIGINT. The hub's variables say where (JUPYTERHUB_SERVICE_URL and _PREFIX)."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s SciGate service] %(message)s")
    die_with_parent()
    address, prefix = os.environ["JUPYTERHUB_SERVICE_URL"], os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    listener = _as_first_descriptor(_listen(address))
    settings = os.environ.get("SCIGATE_CONFIG")
    asyncio.run(Supervisor(listener, prefix, Path(settings) if settings else None).run())
    return 0


class Supervisor:
    """Keeps one gateway running on ``listener``; answers in its place while there is none."""

    def __init__(
        self, listener: socket.socket, prefix: str, settings: Path | None, command: Sequence[str] = GATEWAY
    ) -> None:
        self._listener, self._settings, self._command = listener, settings, command
        self._stand_in = StandIn(prefix)
        self._failures = 0

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; the gateway is then ended in order."""
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._keep_running())
        await asyncio.wait([work, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        self._stand_in.close()
        self._listener.close()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def _keep_running(self) -> None:
        while True:
            await self._stand_in.open(self._listener)
            began = time.monotonic()
            gateway = await self._start()
            try:
                ran = await self._follow(gateway)
            finally:
                await _end(gateway)
            self._failures = 0 if ran.was_ready and time.monotonic() - began > HEALTHY else self._failures
            await self._wait(ran)

    async def _start(self) -> asyncio.subprocess.Process:
        log.info("starting the gateway")
        self._stand_in.outage = Outage()
        parent = os.getpid()
        return await asyncio.create_subprocess_exec(
            *HAND_OVER, *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            pass_fds=[FIRST], preexec_fn=lambda: die_with_parent(parent), limit=LINE_MAX,
        )  # fmt: skip

    async def _follow(self, gateway: asyncio.subprocess.Process) -> Ran:
        """Read what the gateway prints, a line of JSON each, until it has ended."""
        assert gateway.stdout is not None, "a pipe"
        was_ready, outage = False, None
        while line := await gateway.stdout.readline():
            said = _document(line)
            if "url" in said:
                was_ready = True
                self._stand_in.close()
            elif isinstance(error := said.get("error"), dict):
                outage = Outage(str(error.get("message", "")), str(error.get("next_step", "")))
        await self._stand_in.open(self._listener)
        return Ran(was_ready, outage or _without_words(await gateway.wait()))

    async def _wait(self, ran: Ran) -> None:
        """Until it is time for the next start, or until the settings have changed."""
        self._failures += 0 if ran.was_ready else not self._failures
        delay = DELAYS[min(self._failures, len(DELAYS) - 1)]
        self._failures += 1
        log.warning("%s Starting it again in %.0f s.", ran.outage.reason, delay)
        when = f"It is started again within {delay:.0f} seconds, or as soon as its settings change."
        self._stand_in.outage = Outage(ran.outage.reason, f"{ran.outage.next_step} {when}".strip())
        until, before = time.monotonic() + delay, self._version()
        while time.monotonic() < until and self._version() == before:
            await asyncio.sleep(LOOK)
        if self._version() != before:
            self._failures = 0

    def _version(self) -> tuple[int, ...]:
        """What is different once somebody has written the settings."""
        try:
            found = self._settings.stat() if self._settings else None
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else ()


@dataclass(frozen=True)
class Ran:
    """How a run of the gateway went: whether it ever listened, and why it ended."""

    was_ready: bool
    outage: Outage


class StandIn:
    """Answers on the gateway's socket between ``open`` and ``close``."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.outage = Outage()
        self._server: asyncio.Server | None = None
        self._held: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def open(self, listener: socket.socket) -> None:
        """Accept connections; nothing if it does already. ``listener`` itself stays open whatever happens here."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, sock=listener.dup(), limit=HEAD_MAX, backlog=QUEUE
            )  # fmt: skip

    def close(self) -> None:
        """Accept no more; who waits in the socket's queue is the gateway's."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(self._held) >= MOST:
            oldest = next(iter(self._held))
            del self._held[oldest]
            oldest.transport.abort()
        self._held[writer] = None
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
                await self._answer(reader, writer)
        finally:
            self._held.pop(writer, None)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(Request.parse(head), self._prefix, self.outage))
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(LINGER):
            while await reader.read(HEAD_MAX):
                pass


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel send SIGTERM when the parent ends, however it ends (prctl(2)); it may have ended already."""
    parent = parent or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _listen(address: str) -> socket.socket:
    """Listen where the hub looks for us. The service of a hub that has just ended may still hold the port."""
    parts = urlsplit(address)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    told = False
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=QUEUE)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SystemExit(f"{address} cannot be listened on: {error.strerror}") from None
            if not told:
                log.warning("%s:%d is in use; waiting until it is free", host, port)
            told = True
            time.sleep(0.2)


def _as_first_descriptor(listener: socket.socket) -> socket.socket:
    """The same socket at the number where the gateway expects it; the hub leaves only 0, 1 and 2 open."""
    if listener.fileno() == FIRST:
        return listener
    os.dup2(listener.fileno(), FIRST)
    listener.close()
    return socket.socket(fileno=FIRST)


async def _end(gateway: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL if that was not enough."""
    with contextlib.suppress(ProcessLookupError):
        gateway.terminate()
    try:
        async with asyncio.timeout(STOP):
            await gateway.wait()
    except TimeoutError:
        gateway.kill()
        await gateway.wait()


def _document(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _without_words(code: int) -> Outage:
    how = f"It was ended by {signal.Signals(-code).name}." if code < 0 else f"It ended with exit code {code}."
    return Outage(f"The gateway does not run. {how}", "The log of the hub may say why.")


if __name__ == "__main__":
    sys.exit(main())
