"""Which gateway to ask, and as whom: arguments first, then the environment, then files."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scigate.storage_backends.credential import Secret

from .errors import InvalidAddress, NotConfigured

DEFAULT_URL: Final = "http://127.0.0.1:8470"
TOKEN_FILE: Final = "~/.config/scigate/token"  # noqa: S105 where it is, not what it is
SETTINGS_FILES: Final = ("scigate.toml", "~/.config/scigate/scigate.toml")


@dataclass(frozen=True, slots=True)
class Access:
    """The gateway's address and who asks. Printing it never shows the token."""

    url: str
    token: Secret = field(repr=False)

    @property
    def is_loopback(self) -> bool:
        return is_loopback(urlsplit(self.url).hostname or "")


def find(url: str | None = None, token: str | None = None, env: Mapping[str, str] | None = None) -> Access:
    """Where the gateway is and which token to show.

    Address: the argument, ``$SCIGATE_URL``, the ``[gateway]`` table of ``scigate.toml`` ($SCIGATE_CONFIG, here, or
    ~/.config/scigate), else http://127.0.0.1:8470. Token: the argument, ``$SCIGATE_TOKEN``, the file named by
    ``$SCIGATE_TOKEN_FILE``, ~/.config/scigate/token, else in a notebook server of a hub ``$JUPYTERHUB_API_TOKEN``,
    which is shown to ``$SCIGATE_URL`` only. Raises ``NotConfigured`` when there is no token, or when it would be shown
    to where only a ``scigate.toml`` here says (see ``check_chosen``).
    """
    env = os.environ if env is None else env
    given = url or env.get("SCIGATE_URL")
    address = check_url(given) if given else _address_from_settings(env)
    return Access(address, find_token(env, address) if token is None else Secret(_check_token(token)))


def find_token(env: Mapping[str, str], address: str | None = None) -> Secret:
    """The token of this user for the gateway at ``address``, by default the one of the environment. A token file that
    others can read is refused."""
    if env.get("SCIGATE_TOKEN"):
        return Secret(_check_token(env["SCIGATE_TOKEN"]))
    named = env.get("SCIGATE_TOKEN_FILE")
    path = Path(named or TOKEN_FILE).expanduser()
    if not named and not path.exists():
        if token := _hub_token(env, address):
            return token
        raise NotConfigured(
            "There is no token to show to the gateway.",
            next_step=f"Make one with 'scigate token NAME', save it in {TOKEN_FILE} (mode 0600) or set SCIGATE_TOKEN.",
        )
    return read_token(path)


def read_token(path: Path) -> Secret:
    """The token in a file. ``NotConfigured`` if it holds none, or others can read it."""
    return Secret(_check_token(_read_private(path)))


def _hub_token(env: Mapping[str, str], address: str | None) -> Secret | None:
    """The token of a hub's notebook server, if it is the hub's own gateway that is asked."""
    url, token = env.get("SCIGATE_URL"), env.get("JUPYTERHUB_API_TOKEN")
    if not url or not token or (address is not None and address != check_url(url)):
        return None
    return Secret(_check_token(token))


def _check_token(text: str) -> str:
    """The token as it can stand in a header (RFC 6750 §2.1). Its error never shows it."""
    token = text.strip()
    if not token or any(not "!" <= character <= "~" for character in token):
        raise NotConfigured(
            "The token for the gateway is empty, or holds spaces, line breaks or characters beyond ASCII.",
            next_step="Copy the one line that 'scigate token NAME' printed, and nothing else.",
        )
    return token


def check_url(url: str) -> str:
    """The address without a trailing slash. ``NotConfigured`` if it cannot be one."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidAddress(
            "The address of the gateway is not an http(s) URL.",
            next_step=f"Set SCIGATE_URL to an address such as {DEFAULT_URL}.",
        )
    if parts.username or parts.password:
        raise InvalidAddress(
            "The address of the gateway holds a user name or password.",
            next_step="Take it out of the URL and set SCIGATE_TOKEN.",
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether this host name or address is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def settings_file(env: Mapping[str, str]) -> Path | None:
    """The ``scigate.toml`` in use: $SCIGATE_CONFIG, here, or ~/.config/scigate; None if there is none."""
    if named := env.get("SCIGATE_CONFIG"):
        return Path(named).expanduser()
    return next((path for path in (Path(name).expanduser() for name in SETTINGS_FILES) if path.is_file()), None)


def check_chosen(path: Path, address: str) -> None:
    """The token may be shown at ``address``, which settings say that nobody has named: they lie in the folder where the
    user happens to be, and somebody else may have made it. ``NotConfigured`` if not.

    It may if it would go there without that file; or if this is an address of this machine, and the file is the user's
    own. The whole address counts, not its origin: users of a hub share one.
    """
    usual = Path(SETTINGS_FILES[1]).expanduser()
    if address == (_address_in(usual) if usual.is_file() else DEFAULT_URL):
        return
    if is_loopback(urlsplit(address).hostname or "") and _is_own(path):
        return
    raise NotConfigured(
        f"Your token was not sent to {address}: only the file {path.absolute()} says that the gateway is there.",
        next_step=f"Set SCIGATE_URL to the gateway that you mean; to {address} if you trust that file.",
    )


def _address_from_settings(env: Mapping[str, str]) -> str:
    path = settings_file(env)
    if path is None:
        return DEFAULT_URL
    address = _address_in(path)
    if path == Path(SETTINGS_FILES[0]) and not env.get("SCIGATE_CONFIG"):
        check_chosen(path, address)
    return address


def _is_own(path: Path) -> bool:
    """Whether it is this user's or root's, and not everybody may write it."""
    found = path.stat()
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & stat.S_IWOTH


def _address_in(path: Path) -> str:
    """The gateway's address as these settings say.

    Read without validating the rest: a client needs neither the gateway's secrets nor its other settings.
    """
    try:
        gateway = tomllib.loads(path.read_text()).get("gateway", {})
    except (OSError, ValueError) as error:
        raise NotConfigured(
            f"The settings {path} cannot be read: {error}.", next_step="Correct the file, or set SCIGATE_URL."
        ) from None
    return check_url(_address(gateway)) if isinstance(gateway, dict) else DEFAULT_URL


def _address(gateway: dict[str, Any]) -> str:
    if gateway.get("public_url"):
        return str(gateway["public_url"])
    host = str(gateway.get("host", "127.0.0.1"))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 only compared with, never bound
    return f"http://{f'[{host}]' if ':' in host else host}:{gateway.get('port', 8470)}"


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise NotConfigured(
            f"The token file {path} cannot be read: {reason}.",
            next_step="Save your token there, or name another file in SCIGATE_TOKEN_FILE.",
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotConfigured(
            f"The token file {path} can be read by others (mode {stat.S_IMODE(mode):04o}).",
            next_step=f"Run 'chmod 600 {path}', and make a new token if others may have seen it.",
        )
    if not text:
        raise NotConfigured(f"The token file {path} is empty.", next_step="Save the token in it.")
    return text
