"""The one door to URLs that users, registries and redirects supply.

A stranger's URL must never reach what only we can reach: our own services, the site's networks, the metadata
service of a cloud. So a host is resolved once, *every* address it has is judged by our own table
(``egress_addresses``), the connection goes to a judged address only, and who answered is checked again. Each
connection and each redirect passes here anew; nothing is remembered that could go stale.

The decisions are pure: ``EgressPolicy`` and the functions around it know no network. ``Egress.connect`` is the only
function that connects.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from scigate.storage_backends.errors import Permanent, StorageError, Unreachable
from scigate.storage_backends.web_url import InvalidUrl, check_host, follow, parse_web_url
from scigate.storage_backends.wire import Target

from .egress_addresses import Address, Network, OpenedBy, embedded, judge

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""(host, port) → addresses as text. ``OSError`` if the name has none."""

Dial: TypeAlias = Callable[[str, int, float], socket.socket]
"""(address, port, timeout in seconds) → connected socket. ``OSError`` if nothing answers there."""

ADDRESSES_MAX: Final = 32  # a name with more is not a data server but an attack on our time
_RULE: Final = re.compile(r"(?P<host>\[[^\]]+\](?:/\d{1,3})?|[^:\[\]]+)(?::(?P<port>\d{1,5}|\*))?")
log = logging.getLogger(__name__)


class EgressRefused(Permanent):
    """The gateway does not connect there; ``rule`` names the rule, for programs."""

    def __init__(self, rule: str, message: str, *, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One entry of ``allow``: a host, ``*.suffix`` or network, with one port, any port, or the usual ones."""

    host: str | None
    network: Network | None
    port: int | None  # None: the ports of the policy, or all of them with ``any_port``
    any_port: bool = False

    @classmethod
    def parse(cls, text: str) -> AllowRule:
        """Read ``data.lab.example``, ``*.lab.example:8443``, ``10.1.0.0/16``, ``[fd00::]/8:*``; else ``ValueError``."""
        found = _RULE.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(
                f"{text!r} is not a host, *.suffix, network or [IPv6 network], with or without ':port' or ':*'"
            )
        port = None if found["port"] in {None, "*"} else int(found["port"])
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"{text!r} names a port that does not exist: use 1 to 65535")
        network = _network(found["host"])
        host = None if network else _pattern(found["host"], text)
        return cls(host, network, port, found["port"] == "*")

    def names(self, host: str) -> bool:
        """Whether this rule is about the host of this name; ``*.suffix`` does not include the suffix itself."""
        if self.host is None:
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host

    def contains(self, address: Address) -> bool:
        return self.network is not None and address.version == self.network.version and address in self.network

    def opens_port(self, port: int, usual: Iterable[int]) -> bool:
        return self.any_port or port == self.port or (self.port is None and port in usual)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text.replace("[", "").replace("]", ""))
    except ValueError:
        if "/" in text or "[" in text:
            raise ValueError(f"{text!r} is not a network: write for example 10.1.0.0/16, or [fd00::]/8") from None
        return None


def _pattern(host: str, text: str) -> str:
    star = "*." if host.startswith("*.") else ""
    try:
        return star + check_host(host.removeprefix("*."))
    except InvalidUrl as error:
        raise ValueError(f"{text!r} in allow: {error.message}") from None


def _is_rule(text: str) -> str:
    AllowRule.parse(text)
    return text


def _is_network(text: str) -> str:
    ip_network(text)
    return text


class EgressPolicy(BaseModel):
    """The section ``[egress]`` of ``scigate.toml``: where the gateway may connect to when a user names a URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schemes: frozenset[Annotated[str, Field(pattern="^https?$")]] = frozenset({"http", "https"})
    ports: frozenset[Annotated[int, Field(ge=1, le=65535)]] = frozenset({80, 443, 8443})
    allow: tuple[Annotated[str, AfterValidator(_is_rule)], ...] = ()
    """Internal hosts and networks that users may name although they are not public."""
    deny: tuple[Annotated[str, AfterValidator(_is_network)], ...] = ()
    """More networks to refuse, such as the site's own public addresses behind the firewall."""
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5

    @cached_property
    def rules(self) -> tuple[AllowRule, ...]:
        return tuple(AllowRule.parse(text) for text in self.allow)

    @cached_property
    def denied(self) -> tuple[Network, ...]:
        return tuple(ip_network(text) for text in self.deny)

    def check_port(self, host: str, port: int) -> None:
        """Refuse a port that no rule could open, before anybody is asked for the host's addresses."""
        if port in self.ports or any(rule.port == port or rule.any_port for rule in self.rules):
            return
        raise self._port_refused(host, port)

    def check_address(self, host: str, port: int, address: Address) -> None:
        """Refuse ``address`` as a place to connect to for ``host``; ``EgressRefused`` says why.

        An IPv4 address inside an IPv6 address must pass by itself as well.
        """
        for one in (address, *embedded(address)):
            self._check_range(host, port, one)
        about = [rule for rule in self.rules if rule.names(host) or rule.contains(address)]
        if port not in self.ports and not any(rule.opens_port(port, self.ports) for rule in about):
            raise self._port_refused(host, port)

    def _check_range(self, host: str, port: int, address: Address) -> None:
        verdict = judge(address)
        rules = [rule for rule in self.rules if rule.opens_port(port, self.ports)]
        by_network = any(rule.contains(address) for rule in rules)
        by_name = any(rule.names(host) for rule in rules)
        opened = {
            OpenedBy.ANYBODY: by_network or by_name or not any(_within(address, network) for network in self.denied),
            OpenedBy.NAME: by_name or by_network,
            OpenedBy.NETWORK: by_network,
            OpenedBy.NOTHING: False,
        }
        if not opened[verdict.opened_by]:
            raise _address_refused(host, port, address, verdict.what, verdict.opened_by)

    def _port_refused(self, host: str, port: int) -> EgressRefused:
        usual = ", ".join(str(number) for number in sorted(self.ports))
        return EgressRefused(
            "port",
            f"the gateway does not connect to port {port} of {host}, only to {usual}",
            next_step=_ask_for(f"{_bracketed(host)}:{port}"),
        )


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _address_refused(host: str, port: int, address: Address, what: str, opened_by: OpenedBy) -> EgressRefused:
    # The address goes to the log only: a user must not map the inside of a site by asking for names.
    log.warning("egress refused: %s port %d resolves to %s (%s)", host, port, address, what)
    message = f"the gateway does not connect to {host}: it is at {what}"
    if opened_by is OpenedBy.NOTHING:
        return EgressRefused("address", message, next_step="Use a URL at a public address: this one is never opened.")
    if opened_by is OpenedBy.NETWORK:
        step = f"Ask the administrator to add the network of {host} to allow under [egress] in scigate.toml."
        return EgressRefused("address", message, next_step=step)
    return EgressRefused("address", message, next_step=_ask_for(_bracketed(host)))


def _ask_for(entry: str) -> str:
    return f'Ask the administrator to add "{entry}" to allow under [egress] in scigate.toml.'


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Vetted:
    """A URL that passed, with the addresses that passed for it, all of them."""

    target: Target
    addresses: tuple[str, ...]


def resolve_by_system(host: str, port: int) -> list[str]:
    """The addresses of ``host`` as the system's resolver gives them, each once, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial_directly(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to a numeric address: no name is looked up here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.settimeout(timeout)
        plain.connect((address, port))
    except BaseException:
        plain.close()
        raise
    return plain


class Egress:
    """The policy at work. Thread-safe; holds no connection and remembers no name."""

    def __init__(self, policy: EgressPolicy, resolve: Resolve = resolve_by_system, dial: Dial = dial_directly) -> None:
        self.policy = policy
        self._resolve = resolve
        self._dial = dial

    def check(self, url: str) -> Vetted:
        """Judge ``url`` without connecting. ``InvalidUrl``, ``EgressRefused``, or ``Unreachable`` if DNS fails.

        An early answer for the user only: ``connect`` judges again, and by its own addresses.
        """
        target = self.check_form(url)
        return Vetted(target, tuple(str(address) for address in self._vetted_addresses(target.host, target.port)))

    def check_form(self, url: str) -> Target:
        """Read ``url`` without asking anybody for its addresses. ``InvalidUrl``, or ``EgressRefused``."""
        target = parse_web_url(url)
        self._check_scheme(target)
        return target

    def vet_redirect(self, base: Target, location: str) -> Target:
        """Where a redirect from ``base`` leads, if we may follow it there: never from https to http."""
        target = follow(base, location)
        if base.scheme == "https" and target.scheme != "https":
            raise EgressRefused(
                "downgrade",
                f"{base.host} redirects from https to http, where anybody on the way could change the data",
                next_step="Use the URL that it leads to, if you trust it, or ask its operator to serve it over https.",
            )
        self._check_scheme(target)
        self._vetted_addresses(target.host, target.port)
        return target

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect to ``host``, resolved here and once, at a judged address only (see ``registry.Connect``).

        ``timeout`` in seconds is for all its addresses together. ``EgressRefused``, or ``Unreachable``.
        """
        addresses = self._vetted_addresses(check_host_or_address(host), port)
        deadline = time.monotonic() + timeout
        failure: OSError | None = None
        try:
            for number, address in enumerate(addresses):
                left = (deadline - time.monotonic()) / (len(addresses) - number)
                if left <= 0:
                    break
                try:
                    return self._connect_to(host, port, address, left)
                except OSError as error:
                    failure = error
            raise Unreachable(f"no connection to {host} port {port}: {_reason(failure)}") from failure
        finally:  # it holds this frame, which would hold it, and the callers' open files with it
            failure = None

    def _connect_to(self, host: str, port: int, address: Address, timeout: float) -> socket.socket:
        plain = self._dial(str(address), port, timeout)
        try:
            peer = plain.getpeername()
            if ip_address(peer[0]) != address or peer[1] != port:
                raise EgressRefused(
                    "peer",
                    f"somebody else than {host} answered the connection",
                    next_step="Ask the administrator whether a transparent proxy stands in the way.",
                )
        except BaseException:
            plain.close()
            raise
        return plain

    def _check_scheme(self, target: Target) -> None:
        if target.scheme not in self.policy.schemes:
            raise EgressRefused(
                "scheme",
                f"this gateway does not connect over {target.scheme}",
                next_step="Use an https URL, or ask the administrator about schemes under [egress] in scigate.toml.",
            )

    def _vetted_addresses(self, host: str, port: int) -> list[Address]:
        self.policy.check_port(host, port)
        addresses = self._addresses(host, port)
        for address in addresses:  # one bad address among good ones is how rebinding looks: all must pass
            self.policy.check_address(host, port, address)
        return addresses

    def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            found = [ip_address(text) for text in self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise _unresolved(host, _reason(error)) from error
        if not 0 < len(found) <= ADDRESSES_MAX:
            raise _unresolved(host, f"it has {len(found)} addresses")
        return found


def check_host_or_address(host: str) -> str:
    """A host as ``parse_web_url`` gives it; a name in any other form is refused, so nothing passes unchecked."""
    return str(ip_address(host)) if ":" in host else check_host(host)


def _unresolved(host: str, reason: str) -> StorageError:
    return Unreachable(f"the address of {host} cannot be found: {reason}", next_step="Check the host name in the URL.")


def _reason(error: BaseException | None) -> str:
    if error is None or isinstance(error, TimeoutError):
        return "nothing answered in time"
    return getattr(error, "strerror", None) or type(error).__name__
