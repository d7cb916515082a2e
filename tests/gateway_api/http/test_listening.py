"""A gateway takes over the sockets that were opened for it, as sd_listen_fds(3) says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from scigate.gateway_api.http.listening import handed_over, listening_sockets

CHILD = """
import os, sys
from scigate.gateway_api.http.listening import listening_sockets
(taken,) = listening_sockets("127.0.0.1", 0)
print(taken.getsockname()[1], taken.get_inheritable(), taken.getblocking(), "LISTEN_FDS" in os.environ)
"""


def test_a_socket_that_is_handed_over_is_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -c "$1" 3<&{listener.fileno()}'
        if listener.fileno() == 3:
            script = script.rpartition(" ")[0]
        done = subprocess.run(
            ["/bin/bash", "-c", script, sys.executable, CHILD],
            pass_fds=[listener.fileno()], capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert done.stdout.split() == [str(port), "False", "False", "False"]


def test_sockets_of_another_process_are_left_alone() -> None:
    """The variables are inherited by children that they do not speak of."""
    env = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}
    assert handed_over(env) == []
    assert env == {}


def test_a_count_that_is_no_number_is_no_count() -> None:
    assert handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"}) == []


def test_without_them_the_address_is_opened() -> None:
    (opened,) = listening_sockets("127.0.0.1", 0)
    with opened:
        assert opened.getsockname()[0] == "127.0.0.1"
