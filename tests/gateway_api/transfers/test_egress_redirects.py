"""What an administrator allows, and where redirects may lead: real servers on loopback that count who came."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from scigate.gateway_api.transfers.egress import AllowRule, Egress, EgressPolicy, EgressRefused, dial_directly
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.errors import Unreachable, Unsupported
from scigate.storage_backends.http import HttpBackend, open_url
from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.web_url import InvalidUrl, parse_web_url
from scigate.storage_backends.wire import Pool, tls_context

PUBLIC = "93.184.215.14"


class Site:
    """A web server on loopback: ``/data`` is a file, ``/to?x`` redirects to x, ``/loop`` to itself; keeps requests."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self._tls = tls
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                secure = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
                self._answer(secure)
                secure.close()

    def _answer(self, connection: socket.socket) -> None:
        request = connection.recv(65536)
        self.requests.append(request)
        method, target = request.split(b" ")[:2]
        path, _, query = target.partition(b"?")
        if path == b"/data":
            body = b"" if method == b"HEAD" else b"science"
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n" + body
        else:
            location = b"/loop" if path == b"/loop" else bytes.fromhex(query.decode())
            head = (
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: " + location + b"\r\n\r\n"
            )
        connection.sendall(head)

    def redirect_to(self, location: str) -> str:
        """The path that leads to ``location``; hexadecimal, so that no client touches it."""
        return f"/to?{location.encode('latin-1', 'replace').hex()}"

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def inside() -> Iterator[Site]:
    """A server that nobody has allowed: it must see no request."""
    inside = Site()
    yield inside
    inside.close()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """A server with a certificate for localhost, and the authority that signed it."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost"))
    site = Site(context)
    yield site, authority.ca_file
    site.close()


NAMES = {
    "localhost": ["127.0.0.1"],
    "data.lab.example": ["127.0.0.1"],
    "lab.example": ["127.0.0.1"],
    "evil-lab.example": ["127.0.0.1"],
    "data.lab.example.evil.example": ["127.0.0.1"],
    "meta.lab.example": ["169.254.169.254"],
    "metadata6.lab.example": ["fd00:ec2::254"],
    "mixed.lab.example": ["127.0.0.1", "169.254.169.254"],
    "multicast.lab.example": ["224.0.0.1"],
    "public.example": [PUBLIC],
    "nat64.example": ["64:ff9b::5db8:d70e"],
    "nat64-inside.example": ["64:ff9b::a9fe:a9fe"],
}


def resolve(host: str, port: int) -> list[str]:
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return NAMES[host]


def only_loopback(address: str, port: int, timeout: float) -> socket.socket:
    if not address.startswith("127."):
        raise ConnectionRefusedError(111, "Connection refused")
    return dial_directly(address, port, timeout)


def allowing(*allow: str, ports: frozenset[int] = frozenset({80, 443})) -> Egress:
    return Egress(EgressPolicy(allow=allow, ports=ports), resolve, only_loopback)


def fetch(egress: Egress, url: str, tls: ssl.SSLContext | None = None) -> bytes:
    source = open_url(url, egress.connect, egress.vet_redirect, tls=tls, max_redirects=egress.policy.max_redirects)
    source.stat(source.path)
    return b"".join(bytes(piece) for piece in source.read(source.path))


# --- what an administrator allows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("127.0.0.1", "127.0.0.1:{port}"),
        ("127.0.0.1", "127.0.0.0/8:{port}"),
        ("127.0.0.1", "127.0.0.0/8:*"),
        ("localhost", "localhost:{port}"),
        ("LocalHost.", "LOCALHOST:{port}"),
        ("localhost", "127.0.0.0/8:{port}"),
        ("data.lab.example", "data.lab.example:*"),
        ("data.lab.example", "*.lab.example:{port}"),
        ("data.lab.example", " 127.0.0.1:{port}"),
    ],
)
def test_allowed_host_is_reached(site: Site, host: str, rule: str) -> None:
    egress = allowing("other.example", rule.format(port=site.port))
    assert egress.check(f"http://{host}:{site.port}/data").addresses == ("127.0.0.1",)
    assert fetch(egress, f"http://{host}:{site.port}/data") == b"science"
    assert len(site.requests) >= 2


def test_allowed_without_port_means_the_usual_ports(site: Site) -> None:
    url = f"http://localhost:{site.port}/data"
    assert fetch(allowing("localhost", ports=frozenset({site.port})), url) == b"science"
    with pytest.raises(EgressRefused) as refused:
        fetch(allowing("localhost", "public.example:*"), url)
    assert refused.value.rule == "address"


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("lab.example", "*.lab.example:*"),
        ("evil-lab.example", "*.lab.example:*"),
        ("data.lab.example.evil.example", "*.lab.example:*"),
        ("data.lab.example", "lab.example:*"),
        ("data.lab.example", "data.lab.example:1"),
        ("data.lab.example", "10.0.0.0/8:*"),
        ("127.0.0.1", "localhost:*"),  # the name is allowed, not whatever it points at
        ("meta.lab.example", "*.lab.example:*"),  # a name never opens link-local and metadata
        ("metadata6.lab.example", "*.lab.example:*"),
        ("mixed.lab.example", "*.lab.example:*"),
        ("multicast.lab.example", "224.0.0.0/4:*"),  # nothing opens these
        ("0.0.0.0", "0.0.0.0/0:*"),
        ("[::]", "[::]/0:*"),
        ("[2002:7f00:1::]", "[2002::]/16:*"),
        ("nat64-inside.example", "[64:ff9b::]/96:*"),  # what is wrapped must pass by itself
    ],
)
def test_allow_opens_no_more_than_it_says(site: Site, host: str, rule: str) -> None:
    with pytest.raises(EgressRefused):
        fetch(allowing(rule), f"http://{host}:{site.port}/data")
    assert site.requests == []


def test_metadata_can_be_opened_by_its_network_only() -> None:
    assert allowing("169.254.169.254").check("http://meta.lab.example/").addresses == ("169.254.169.254",)


def test_nat64_can_be_allowed_where_a_site_has_no_ipv4() -> None:
    with pytest.raises(EgressRefused, match="wraps an IPv4 address"):
        allowing().check("http://nat64.example/")
    assert allowing("[64:ff9b::]/96").check("http://nat64.example/").addresses == ("64:ff9b::5db8:d70e",)


def test_own_public_networks_can_be_denied() -> None:
    assert Egress(EgressPolicy(), resolve).check("http://public.example/").addresses == (PUBLIC,)
    with pytest.raises(EgressRefused):
        Egress(EgressPolicy(deny=("93.184.0.0/16",)), resolve).check("http://public.example/")
    excepted = EgressPolicy(deny=("93.184.0.0/16",), allow=("public.example",))
    assert Egress(excepted, resolve).check("http://public.example/").addresses == (PUBLIC,)


def test_schemes_can_be_narrowed() -> None:
    with pytest.raises(EgressRefused) as refused:
        Egress(EgressPolicy(schemes=frozenset({"https"})), resolve).check("http://public.example/")
    assert refused.value.rule == "scheme"


def test_refusal_says_what_to_do_and_hides_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(EgressRefused) as refused:
        allowing().check("http://data.lab.example/secret?token=canary")
    error = refused.value
    assert error.code == "egress-refused"
    assert error.next_step == 'Ask the administrator to add "data.lab.example" to allow under [egress] in scigate.toml.'
    assert "127.0.0.1" not in error.message + error.next_step
    assert "127.0.0.1" in caplog.text
    assert "canary" not in caplog.text + error.message


def test_unknown_name_is_no_refusal() -> None:
    with pytest.raises(Unreachable, match=r"nowhere\.example"):
        allowing().check("http://nowhere.example/")


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "a*.example", "*.*.example", "http://host", "host:0", "host:65536", "host:x", "10.0.0.1/8",
     "127.1", "::1", "host/x", "[::1", "[host]", "10.0.0.0/33", "us er", "host:80:80", "user@host"],
)  # fmt: skip
def test_bad_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|is not|names a port|in allow|has"):
        AllowRule.parse(text)
    with pytest.raises(ValidationError):
        EgressPolicy(allow=(text,))


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location", ["/data", "data", "//{here}/data", "http://{here}/data", "HTTP://{here}/data#x", "./data"]
)
def test_redirect_within_the_rules_is_followed(site: Site, location: str) -> None:
    here = f"127.0.0.1:{site.port}"
    url = f"http://{here}{site.redirect_to(location.format(here=here))}"
    assert fetch(allowing(here), url) == b"science"


@pytest.mark.parametrize(
    "location",
    [
        *("http://{inside}/data", "//{inside}/data", "http://localhost:{port}/data", "http://2130706433:{port}/data"),
        *("http://[::ffff:7f00:1]:{port}/", "http://[::1]:{port}/data", "http://127.1:{port}/", "http://0:{port}/"),
        *("http://public.example@{inside}/data", "http://{here}@{inside}/data", "http://{inside}\\@{here}/data"),
        *("http://{here}\\@{inside}/data", "\\\\{inside}\\data", "/\\{inside}/data", "http:\\\\{inside}/data"),
        *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/", "http://100.100.100.200/"),
        *("file:///etc/passwd", "gopher://{inside}/_GET", "ftp://{inside}/data", "dict://{inside}/", "data:,x"),
        *(
            "javascript:alert(1)",
            "jar:http://{inside}/x!/",
            "ldap://{inside}/",
            "tftp://{inside}/x",
            "file://{inside}/",
        ),
        *("http://user:password@{here}/data", "http://{here}:80/data", "http://[::1%25lo]:{port}/", "http://{here}\t/"),
        *("http://data.lab.example:{port}/", "http://0x7f000001:{port}/", "http://0177.0.0.1:{port}/", "http:///data"),
        *("http://{inside}%00.public.example/", "http://%31%32%37.0.0.1:{port}/", "http://public.example:6379/"),
    ],
)
def test_redirect_to_the_inside_is_refused(site: Site, inside: Site, location: str) -> None:
    here, there = f"127.0.0.1:{site.port}", f"127.0.0.1:{inside.port}"
    target = location.replace("{here}", here).replace("{inside}", there).replace("{port}", str(inside.port))
    with pytest.raises((EgressRefused, InvalidUrl)):
        fetch(allowing(here), f"http://{here}{site.redirect_to(target)}")
    assert len(site.requests) == 1
    assert inside.requests == []


def test_second_hop_is_judged_too(site: Site, inside: Site) -> None:
    here = f"127.0.0.1:{site.port}"
    second = site.redirect_to(f"http://127.0.0.1:{inside.port}/data")
    with pytest.raises(EgressRefused):
        fetch(allowing(here), f"http://{here}{site.redirect_to(second)}")
    assert len(site.requests) == 2
    assert inside.requests == []


def test_redirects_end(site: Site) -> None:
    here = f"127.0.0.1:{site.port}"
    with pytest.raises(Unsupported, match="more than 5 times"):
        fetch(allowing(here), f"http://{here}/loop")
    assert len(site.requests) == 6


def test_https_never_becomes_http(secure: tuple[Site, Path], site: Site) -> None:
    safe, ca_file = secure
    url = f"https://localhost:{safe.port}{safe.redirect_to(f'http://127.0.0.1:{site.port}/data')}"
    with pytest.raises(EgressRefused) as refused:
        fetch(allowing("127.0.0.0/8:*"), url, tls_context(ca_file))
    assert refused.value.rule == "downgrade"
    assert site.requests == []


def test_tls_asks_for_the_host_not_the_address(secure: tuple[Site, Path]) -> None:
    safe, ca_file = secure
    egress = allowing("127.0.0.0/8:*")
    assert fetch(egress, f"https://localhost:{safe.port}/data", tls_context(ca_file)) == b"science"
    with pytest.raises(Unreachable, match="certificate"):
        fetch(egress, f"https://data.lab.example:{safe.port}/data", tls_context(ca_file))


def test_credential_stays_with_its_origin(site: Site, inside: Site) -> None:
    """The other port is another origin (RFC 6454)."""
    egress = allowing("127.0.0.0/8:*")
    base = parse_web_url(f"http://127.0.0.1:{site.port}")
    backend = HttpBackend(base, Pool(egress.connect), egress.vet_redirect, token=Secret("canary-token"))
    backend.stat("data")
    assert b"Authorization: Bearer canary-token" in site.requests[0]
    source = HttpBackend(base, Pool(egress.connect), lambda _, __: parse_web_url(f"http://127.0.0.1:{inside.port}/data"),
                         token=Secret("canary-token"))  # fmt: skip
    source.stat("loop")
    assert b"canary-token" in site.requests[1]
    assert len(inside.requests) == 1
    assert b"canary-token" not in inside.requests[0]
    assert b"uthorization" not in inside.requests[0]
