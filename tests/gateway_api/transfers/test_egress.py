"""Attacks on the door to outside URLs, each through the real fetch path, against a canary that must see nobody.

The canary listens on loopback and stands in for every address that is not public: whoever the egress lets through to
an internal address, however spelled, is a hit.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from itertools import product
from urllib.parse import urlsplit

import httpx
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from scigate.gateway_api.transfers.egress import Egress, EgressPolicy, EgressRefused
from scigate.storage_backends.errors import StorageError, Unreachable
from scigate.storage_backends.http import open_url
from scigate.storage_backends.web_url import InvalidUrl, parse_web_url

from tests.letting_go import lets_go

PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")

DENIED = (
    # this machine, private, carrier
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "127.0.0.53", "::", "::1"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1"),
    *("100.127.255.254", "fc00::1", "fd00::1", "fdff:ffff::1", "fec0::1", "feff::1", "fe80::1", "febf::1"),
    # metadata services
    *("169.254.169.254", "169.254.170.2", "169.254.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    *("fd00:ec2::254", "fd20:ce::254"),
    # multicast, broadcast, reserved, documentation, benchmarks, protocols
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.0.8", "192.0.0.1", "192.0.2.1"),
    *("198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255", "192.88.99.1", "ff02::1", "ff05::2", "ff0e::1"),
    *(
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "100:0:0:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "5f00::1",
        "4000::1",
    ),
)
INTERNAL_IPV4 = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0")


def wrapped(text: str) -> Iterator[str]:
    """The IPv6 addresses that end up at an IPv4 address: mapped, translated, NAT64, 6to4, Teredo, ISATAP and others."""
    v4 = int(ipaddress.IPv4Address(text))
    prefixes = (
        "::ffff:0:0",
        "::",
        "::ffff:0:0:0",
        "64:ff9b::",
        "64:ff9b:1::",
        "2001:470:1:2:0:5efe::",
        "2001:470:1:2:200:5efe::",
    )
    for prefix in prefixes:
        yield str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + v4))
    yield str(ipaddress.IPv6Address((0x2002 << 112) + (v4 << 80) + 1))
    yield str(ipaddress.IPv6Address((0x2001 << 112) + (v4 << 64)))  # Teredo server
    yield str(ipaddress.IPv6Address((0x2001 << 112) + (v4 ^ 0xFFFFFFFF)))  # Teredo client


def spelled(text: str) -> Iterator[str]:
    """The ways in which libc, browsers and URL libraries spell an IPv4 address, or read it into a host."""
    a, b, c, d = (int(part) for part in text.split("."))
    number = int(ipaddress.IPv4Address(text))
    yield from (str(number), hex(number), f"0X{number:X}", f"0{number:o}", str(number + (1 << 32)))
    yield from (f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.{b}.{c}.{d}")
    yield from (f"{a:03}.{b:03}.{c:03}.{d:03}", f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}")
    yield from (f"{a + 256}.{b}.{c}.{d}", f"{a}.{b}.{c}.{d}.", f"{text}..", f".{text}", f"{a}.{b}.{c}.{d}.0")
    yield text.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    yield text.translate(str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨"))
    yield from (text.replace(".", dot) for dot in "。．｡")
    yield from (text.replace(".", "%2e"), f"%{ord(text[0]):02x}{text[1:]}", text[:2] + "\u200b" + text[2:])
    yield from (f"[{text}]", f"[::ffff:{text}%25lo]", f"[::ffff:{text}%lo]", f"[v1.{text}]", f"{text}%00.example.org")


TRICKS = (
    # who is the host?
    *("http://user@127.0.0.1:{port}/", "http://user:pw@127.0.0.1:{port}/", "http://@127.0.0.1:{port}/"),
    *("http://public.example@127.0.0.1:{port}/", "http://127.0.0.1:{port}@public.example/"),
    *("http://127.0.0.1:{port}\\@public.example/", "http://public.example\\@127.0.0.1:{port}/"),
    *("http:\\\\127.0.0.1:{port}\\", "http://public.example:80@127.0.0.1:{port}/", "http:///127.0.0.1:{port}/"),
    *("http://public.example:80\\@127.0.0.1:{port}/", "http://a@b@127.0.0.1:{port}/", "http:/127.0.0.1:{port}/"),
    *("http:127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/\\127.0.0.1:{port}/", "127.0.0.1:{port}/", "http://"),
    *("http://127.0.0.1%2f@public.example/", "http://public.example%40127.0.0.1:{port}/", "http://%31%32%37.0.0.1/"),
    *(
        "http://public.example,127.0.0.1:{port}/",
        "http://public.example;127.0.0.1:{port}/",
        "http://(127.0.0.1):{port}/",
    ),
    # white space, control characters, injected requests
    *("http://127.0.0.1\x00.public.example/", "http://127.0.0.1%00.public.example/", "http://public.example%00/"),
    *("http://127.0.0.1\t:{port}/", "http://127.0.0.1\n:{port}/", "http://127.0.0.1 :{port}/", " http://127.0.0.1/"),
    *("http://public.example\r\nHost: 127.0.0.1/", "http://public.example/\r\nX: y", "\thttp://127.0.0.1:{port}/"),
    *(
        "http://public.example:80\r\nHost:127.0.0.1:{port}/",
        "ht\ntp://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/\x7f",
    ),
    *("http://127.0.0.1\u2028:{port}/", "http://\u202e1.0.0.721:{port}/", "http://127.0.0.1\u00ad:{port}/"),
    # ports and brackets
    *("http://127.0.0.1:{port}:80/", "http://127.0.0.1:/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/"),
    *("http://127.0.0.1:-80/", "http://127.0.0.1:+80/", "http://127.0.0.1:8_0/", "http://127.0.0.1:٨٠/"),
    *(
        "http://127.0.0.1:0x50/",
        "http://127.0.0.1: 80/",
        "http://127.0.0.1:999999999999/",
        "http://[::1/",
        "http://::1/",
    ),
    *("http://[::1]x:{port}/", "http://x[::1]:{port}/", "http://[[::1]]:{port}/", "http://[::1%25lo]:{port}/"),
    *("http://[::1%lo]:{port}/", "http://[fe80::1%25eth0]:{port}/", "http://[v1.::1]:{port}/", "http://[]:{port}/"),
    *("http://[::127.0.0.1]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[0000::0001]:{port}/"),
    # names
    *("http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/", "http://ⓛocalhost:{port}/"),
    *(
        "http://localhost..:{port}/",
        "http://.localhost:{port}/",
        "http://-localhost:{port}/",
        "http://ｌocalhost:{port}/",
    ),
    *("http://local\u00adhost:{port}/", "http://loc%61lhost:{port}/", "http://localhost%2e:{port}/"),
    *("http://metadata.google.internal:{port}/", "http://instance-data:{port}/", "http://*.example.org:{port}/"),
    "http://" + "a" * 64 + ".example.org/",
    "http://" + "a." * 130 + "org/",
    "http://public.example/" + "a" * 9000,
)
SCHEMES = (
    *("file", "ftp", "ftps", "gopher", "dict", "ldap", "ldaps", "tftp", "jar", "data", "javascript", "blob", "netdoc"),
    *("ws", "wss", "phar", "sftp", "smb", "ssh", "s3", "root", "davs", "httpx", "http+unix", "view-source"),
)
PORTS = (1, 21, 22, 23, 25, 53, 110, 111, 139, 445, 2375, 3306, 5432, 6379, 8080, 9200, 10250, 11211, 27017, 65535)
NAMES = {
    **dict.fromkeys(("localhost", "instance-data"), ("127.0.0.1",)),
    "metadata.google.internal": ("169.254.169.254",),
    "public.example": PUBLIC,
    "mixed.example": (PUBLIC[0], "10.0.0.1"),
    "mixed-first.example": ("127.0.0.1", PUBLIC[0]),
    "mixed-v6.example": (PUBLIC[0], PUBLIC[1], "::1"),
    "mapped.example": (PUBLIC[0], "::ffff:7f00:1"),
    "scoped.example": ("fe80::1%eth0",),
    "many.example": (PUBLIC[0],) * 40,
    "none.example": (),
    "garbage.example": ("not an address",),
}


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def by_name(address: str) -> str:
    return f"at-{address.replace(':', '-').replace('.', '-').strip('-')}-.example".replace("-.", "x.")


NAMES |= {by_name(address): (address,) for address in DENIED}
WRAPPED = sorted({address for text in INTERNAL_IPV4 for address in wrapped(text)})
VECTORS = (
    *(f"http://{bracketed(address)}:{{port}}/" for address in (*DENIED, *WRAPPED)),
    *(f"http://{by_name(address)}:{{port}}/" for address in DENIED),
    *(f"http://{host}:{{port}}/" for text in ("127.0.0.1", "169.254.169.254") for host in spelled(text)),
    *TRICKS,
    *(f"{scheme}://127.0.0.1:{{port}}/" for scheme in SCHEMES),
    *(f"http://{bracketed(address)}:{number}/" for address, number in product(PUBLIC, PORTS)),
    *(f"http://{name}:{{port}}/" for name in NAMES if "public" not in name and not name.startswith("at-")),
)


class Canary:
    """Answers HTTP on loopback and counts who came."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.hits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.hits += 1
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ncanary")

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """As ``dial_directly``, in a world where every address that is not public is the canary's."""
        if address in PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


def resolve(host: str, port: int) -> list[str]:
    """The names above; numbers in any spelling as libc reads them; nothing leaves the machine."""
    if host in NAMES:
        return list(NAMES[host])
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(entry[4][0]) for entry in found]


def fetch(egress: Egress, url: str) -> bytes:
    """What the engine does with a user's URL."""
    source = open_url(url, egress.connect, egress.vet_redirect, max_redirects=egress.policy.max_redirects)
    source.stat(source.path)
    return b"".join(bytes(piece) for piece in source.read(source.path))


def guarded(canary: Canary, **policy: object) -> Egress:
    ports = {80, 443, 8443, canary.port}
    return Egress(EgressPolicy.model_validate({"ports": ports, **policy}), resolve, canary.dial)


def test_there_are_enough_vectors() -> None:
    assert len(set(VECTORS)) >= 300


@pytest.mark.parametrize("vector", sorted(set(VECTORS)), ids=ascii)
def test_vector_never_reaches_the_canary(canary: Canary, vector: str) -> None:
    url, before = vector.replace("{port}", str(canary.port)), canary.hits
    egress = guarded(canary)
    for action in (lambda: egress.check(url), lambda: fetch(egress, url)):
        with pytest.raises(StorageError) as refused:
            action()
        assert refused.value.message
        assert refused.value.next_step
        assert isinstance(refused.value, InvalidUrl | EgressRefused | Unreachable)
    assert canary.hits == before == 0


def test_the_canary_sings(canary: Canary) -> None:
    """Without the egress many vectors do reach the canary: the tests above prove something."""
    port, hits = canary.port, 0
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    loud = Canary()
    try:
        for vector in sorted(set(VECTORS)):
            url = vector.replace("{port}", str(loud.port))
            if "127" in url or "0x7f" in url.lower() or "2130706433" in url or "localhost" in url:
                with contextlib.suppress(Exception):
                    opener.open(url, timeout=2).read()
        hits = loud.hits
    finally:
        loud.close()
    assert hits >= 10
    assert port != loud.port


@pytest.mark.parametrize("denied", [*DENIED, *WRAPPED])
def test_every_denied_address_is_refused_by_its_range(canary: Canary, denied: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        guarded(canary).connect(denied, canary.port, 1)
    assert refused.value.rule == "address"


@pytest.mark.parametrize("port", PORTS)
def test_unusual_port_is_refused_before_dns(canary: Canary, port: int) -> None:
    asked: list[str] = []

    def resolve_and_tell(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC[0]]

    with pytest.raises(EgressRefused, match=f"port {port}") as refused:
        Egress(EgressPolicy(), resolve_and_tell, canary.dial).check(f"https://public.example:{port}/")
    assert refused.value.rule == "port"
    assert f"public.example:{port}" in refused.value.next_step
    assert asked == []


# --- DNS rebinding ---------------------------------------------------------------------------------------------------


def rebinding(*answers: list[str]) -> Callable[[str, int], list[str]]:
    """A name server with TTL 0: one answer after the other, the last one for good."""
    left = list(answers)
    return lambda host, port: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    "internal", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:7f00:1", "fd00:ec2::254"]
)
def test_rebinding_between_check_and_connect(canary: Canary, internal: str) -> None:
    before = canary.hits
    egress = Egress(EgressPolicy(), rebinding([PUBLIC[0]], [internal]), canary.dial)
    assert egress.check("http://rebind.example/").addresses == (PUBLIC[0],)
    with pytest.raises(EgressRefused):
        fetch(egress, "http://rebind.example/")
    assert canary.hits == before


def test_what_is_judged_is_what_is_dialled() -> None:
    """One connection asks DNS once: a second answer cannot slip in between judging and connecting."""
    dialled: list[str] = []

    def dial(address: str, port: int, timeout: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(Unreachable):
        Egress(EgressPolicy(), rebinding([PUBLIC[0]], ["127.0.0.1"]), dial).connect("rebind.example", 80, 1)
    assert dialled == [PUBLIC[0]]


def test_who_answers_must_be_who_was_dialled() -> None:
    astray = Canary()  # its own: nobody may reach the one of the others

    def dial_astray(address: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", astray.port), timeout)

    with contextlib.closing(astray), pytest.raises(EgressRefused) as refused:
        Egress(EgressPolicy(), resolve, dial_astray).connect("public.example", 80, 1)
    assert refused.value.rule == "peer"


# --- one parser ------------------------------------------------------------------------------------------------------


def hosts_by_others(url: str) -> set[str]:
    """The host that urllib, urllib3 and httpx read in ``url``."""
    read = (urlsplit(url).hostname, urllib3.util.parse_url(url).host, httpx.URL(url).raw_host.decode())
    return {(host or "").strip("[]").removesuffix(".").lower() for host in read}


@settings(max_examples=1000, derandomize=True, deadline=None)
@given(
    st.text(alphabet="ab.:/@\\#?%[]0x127 \t\n\x00。①-_~é", max_size=24),
    st.sampled_from(["", "public.example", "[::1]"]),
)
def test_what_is_accepted_others_read_alike(text: str, host: str) -> None:
    url = f"http://{host}{text}"
    try:
        target = parse_web_url(url)
    except InvalidUrl:
        return
    seen = {str(ipaddress.ip_address(h)) if ":" in h else h for h in hosts_by_others(url) if h.isascii()}
    assert seen == {target.host}


@pytest.mark.parametrize("vector", sorted(set(VECTORS)), ids=ascii)
def test_no_vector_is_read_in_two_ways(vector: str) -> None:
    url = vector.replace("{port}", "80")
    try:
        target = parse_web_url(url)
    except InvalidUrl as refused:
        assert refused.rule
        return
    others = {str(ipaddress.ip_address(host)) if ":" in host else host for host in hosts_by_others(url)}
    assert others == {target.host}


def test_whoever_cannot_connect_is_let_go() -> None:
    def refuse(address: str, port: int, timeout: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    egress = Egress(EgressPolicy(), resolve, refuse)
    assert lets_go(lambda: egress.connect(PUBLIC[0], 443, 1), Unreachable)
