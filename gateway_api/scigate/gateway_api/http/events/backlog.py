"""How much of what was written to a socket its reader has not read yet, as far as the kernel can tell."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Any, Final

_WINDOW_AT: Final = 228
"""Where ``tcpi_snd_wnd`` is in ``struct tcp_info`` (linux/tcp.h, since Linux 5.4)."""


class Backlog:
    """Of one TCP connection. What is not acknowledged waits on this side (SIOCOUTQ, tcp(7)); what is acknowledged and
    not read makes the window smaller that the other side offers. It tells that anew only when it gets something, so the
    last write always counts as unread here. Both are hints: a proxy in between reads for others.
    """

    def __init__(self, one: socket.socket) -> None:
        self._socket, self._widest = one, 0

    def unread(self) -> int:
        """Bytes, roughly; 0 where the kernel does not tell, or the connection is over."""
        if not sys.platform.startswith("linux"):
            return 0
        try:
            waiting = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0]
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WINDOW_AT + 4)
        except (OSError, ValueError):
            return 0
        window = _number(told) if len(told) == _WINDOW_AT + 4 else 0
        self._widest = max(self._widest, window)
        return int(waiting) + self._widest - window


def _number(told: Any) -> int:
    return int(struct.unpack_from("I", told, _WINDOW_AT)[0])
