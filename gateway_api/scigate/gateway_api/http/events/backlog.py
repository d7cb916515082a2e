"""Whether the reader of a socket reads, as far as the kernel can tell."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Final

LITTLE: Final = 2 << 10
"""Bytes that say nothing."""
_WINDOW_AT: Final = 228
"""Where ``tcpi_snd_wnd`` is in ``struct tcp_info`` (linux/tcp.h, since Linux 5.4)."""


class Backlog:
    """Of one TCP connection. What is not acknowledged waits on this side (SIOCOUTQ, tcp(7)); what is acknowledged and
    not read makes the window smaller that the other side offers, which it tells when it gets something. So the last
    write always counts as unread, and windows are compared as they were after each. All of it are hints: the kernel
    changes windows for reasons of its own, and a proxy in between reads for others.
    """

    def __init__(self, one: socket.socket) -> None:
        self._socket = one
        self._window = self._written = 0
        self._reads = True

    def is_read(self, written: int) -> bool:
        """Whether everything but the last write, of so many bytes, seems to have been read. To be asked once after
        each write. True where the kernel does not tell, or the connection is over."""
        if not sys.platform.startswith("linux"):
            return True
        try:
            waiting = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0]
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WINDOW_AT + 4)
        except (OSError, ValueError):
            return True
        if written >= LITTLE and len(told) == _WINDOW_AT + 4:
            self._compare(struct.unpack_from("I", told, _WINDOW_AT)[0], written)
        return self._reads and bool(waiting <= written + LITTLE)

    def _compare(self, window: int, written: int) -> None:
        """Who reads has the window of before, but for what the last write has more or less than the one before."""
        less = self._window - window
        lost = min(less, less + self._written - written)
        self._reads = lost < min(self._written, written) / 2 or self._written == 0
        self._window, self._written = window, written
