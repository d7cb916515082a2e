"""The proxy that the other tests trust does to connections exactly what its rules say."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from .proxy import Harm, Proxy, Rule, Way, token
from .stand import until

DATA = random.Random(1).randbytes(300_000)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that sends back what it gets."""

    def echo(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        with Proxy(f"http://127.0.0.1:{listening.getsockname()[1]}") as made:
            yield made
        listening.shutdown(socket.SHUT_RDWR)


def echoed(proxy: Proxy, data: bytes = DATA, timeout: float = 150, *, ends: bool = True) -> bytes:
    """What comes back until the connection ends; errors are the caller's. ``ends``: the client says that it has sent
    all, which a hole takes for giving up."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout) as client:
        broken: list[ConnectionError] = []
        sender = threading.Thread(target=_send, args=(client, data, ends, broken), daemon=True)
        sender.start()
        got = bytearray()
        while piece := client.recv(65536):
            got += piece
        sender.join()
        if broken:
            raise broken[0]
        return bytes(got)


def _send(client: socket.socket, data: bytes, ends: bool, broken: list[ConnectionError]) -> None:
    """``broken``: the kernel tells of a reset once only, to who sends or to who receives."""
    with contextlib.suppress(OSError):
        try:
            client.sendall(data)
        except ConnectionError as error:
            broken.append(error)
        else:
            if ends:
                client.shutdown(socket.SHUT_WR)


def test_without_rules_everything_passes_and_is_counted(proxy: Proxy) -> None:
    assert echoed(proxy) == DATA
    assert (proxy.passed[Way.UP], proxy.passed[Way.DOWN], proxy.connections) == (len(DATA), len(DATA), 1)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("at", [0, 70_000, len(DATA) - 1])
def test_one_bit_flips_where_it_should_and_once(proxy: Proxy, way: Way, at: int) -> None:
    proxy.rules.append(Rule(Harm.FLIP, at, way, bit=3))
    expected = bytearray(DATA)
    expected[at] ^= 8
    assert echoed(proxy) == expected
    assert echoed(proxy) == DATA
    assert proxy.happened == 1


def test_a_flip_is_aimed_at_data_wherever_it_passes(proxy: Proxy) -> None:
    data = [token(number) + random.Random(number).randbytes(5000) for number in range(50)]
    proxy.aim(Way.UP, {number: (100 + number, 0) for number in range(50)})
    expected = [one[: 100 + n] + bytes([one[100 + n] ^ 1]) + one[101 + n :] for n, one in enumerate(data)]
    assert echoed(proxy, b"head" + b"".join(data)) == b"head" + b"".join(expected)
    assert proxy.flipped == 50
    assert echoed(proxy, b"".join(data)) == b"".join(data)


@pytest.mark.parametrize("way", Way)
def test_fin_ends_in_order_after_exactly_so_many_bytes(proxy: Proxy, way: Way) -> None:
    proxy.rules.append(Rule(Harm.FIN, 1000, way, each=True, connection=2))
    assert echoed(proxy) == DATA
    got = b""
    with contextlib.suppress(ConnectionError):
        got = echoed(proxy)
    assert len(got) <= 1000
    assert echoed(proxy) == DATA


@pytest.mark.parametrize("way", Way)
def test_rst_is_an_error_at_the_client(proxy: Proxy, way: Way) -> None:
    proxy.rules.append(Rule(Harm.RST, 1000, way))
    with pytest.raises(ConnectionError):
        echoed(proxy)
    assert echoed(proxy) == DATA


@pytest.mark.parametrize("way", Way)
def test_a_hole_says_nothing(proxy: Proxy, way: Way) -> None:
    proxy.rules.append(Rule(Harm.HOLE, 1000, way, each=True, times=None))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            echoed(proxy, timeout=1, ends=False)
    until(lambda: proxy.happened >= 2)  # the client may have given up before anything was passed on
    assert proxy.happened == 2
    proxy.heal()
    assert echoed(proxy) == DATA


def test_latency_and_rate(proxy: Proxy) -> None:
    proxy.latency, proxy.rate = {Way.DOWN: 0.05}, {Way.UP: 1_000_000}
    begun = time.monotonic()
    assert echoed(proxy) == DATA
    assert time.monotonic() - begun >= 0.3


def test_a_server_that_is_not_there_is_a_reset() -> None:
    with socket.socket() as held:  # the port is taken, but nobody listens
        held.bind(("127.0.0.1", 0))
        with Proxy(f"http://127.0.0.1:{held.getsockname()[1]}") as proxy, pytest.raises(ConnectionError):
            echoed(proxy)
