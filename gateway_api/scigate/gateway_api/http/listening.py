"""The sockets that the gateway listens on: handed over by who started it, or opened here."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from tornado.netutil import bind_sockets

FIRST: Final = 3
"""``SD_LISTEN_FDS_START``: the first descriptor that is handed over, sd_listen_fds(3)."""


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """What systemd or a supervisor opened for this process (sd_listen_fds(3)), else new sockets at ``host``, ``port``.

    A socket that is handed over stays open when the gateway ends, so that no connection is refused while it starts
    again. ``OSError`` if the address cannot be had.
    """
    return handed_over(os.environ) or bind_sockets(port, host.strip("[]"))


def handed_over(env: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that ``env`` says were handed over; the variables are taken out, for they are true only once."""
    meant, count = env.pop("LISTEN_PID", ""), env.pop("LISTEN_FDS", "")
    env.pop("LISTEN_FDNAMES", None)
    if meant != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = [socket.socket(fileno=number) for number in range(FIRST, FIRST + int(count))]
    for one in sockets:
        one.set_inheritable(False)
        one.setblocking(False)
    return sockets
