"""The demo's JupyterHub, or its JupyterLab without a hub: processes of their own on loopback, in one folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from scigate.storage_backends.testing.servers import S3Server, free_ports

from . import notebook
from .service import STOP_SECONDS, DemoFailed, write_private

START_SECONDS: Final = 240.0
COMMUNITY: Final = "vo-climate"
CURATORS: Final = "curators-climate"
USERS: Final[Mapping[str, tuple[str, ...]]] = {
    "alice": (COMMUNITY,),
    "bob": (COMMUNITY,),
    "carol": (COMMUNITY, CURATORS),
}
"""The users of the demo's hub, and their groups."""
OF_THE_USER: Final = ("JUPYTER", "IPYTHON", "XDG_", "SCIGATE")
"""Variables that begin like this have no meaning for the demo."""
MARK: Final = "X-SciGate-Demo"
"""The header by which a server that answers is known as our own: its port may have been taken while it started."""
PROGRAM: Final = "import sys; from {module} import {name}; sys.exit({name}())"
SETTINGS: Final = Template("""\
# Written by 'scigate demo'; every key is explained in docs/reference/configuration.md.
$gateway
[storages.lab]
type = "posix"
root = $lab
summary = "A folder that the community shares"
users = $lab_users

[storages.archive]
type = "s3"
endpoint = $endpoint
bucket = $bucket
region = $region
access_key = $access_key
secret_key = { file = $secret_file }
summary = "SeaweedFS, an S3 server on this machine"

[egress]
allow = [$web]

[feedback]
request = "mailto:scigate@localhost"
report = "$report"
""")
HUB: Final = Template("""\
# Written by 'scigate demo'. Every notebook server here runs as the same system user: fine for a demo, never else.
from pathlib import Path

from scigate.gateway_api.demo import notebook
from scigate.hub_config import configure

c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:$port/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:$hub_port"
c.JupyterHub.db_url = "sqlite:///$state/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "$state/cookie_secret"
c.JupyterHub.pid_file = "$state/hub.pid"
c.JupyterHub.tornado_settings = {"headers": {"$mark": "$secret"}}  # how the demo knows its own hub
c.TraefikProxy.traefik_api_url = "http://127.0.0.1:$proxy_port"
c.JupyterHub.authenticator_class = "scigate.hub_config.authenticator.FileAuthenticator"
c.FileAuthenticator.users_file = "$users_file"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "$homes/{username}"
c.Spawner.default_url = "/lab/tree/$notebook"
c.Spawner.args = $arguments
c.Spawner.environment = {"JUPYTER_CONFIG_PATH": "$jupyter"}


def _first_notebook(spawner):
    home = Path("$homes", spawner.user.name)
    home.mkdir(parents=True, exist_ok=True)
    notebook.write(home / "$notebook", "$web")


c.Spawner.pre_spawn_hook = _first_notebook
configure(
    c, settings="$settings", url="http://127.0.0.1:$gateway_port", state_dir="$state/proxy",
    communities=["$community"], curators={"$community": "$curators"},
)
""")


@dataclass(frozen=True, slots=True)
class Storages:
    """What the gateway of the demo gives access to."""

    lab: Path
    s3: S3Server
    web: str


@dataclass(frozen=True, slots=True)
class Home:
    """Where to go with a browser, and as whom; empty passwords: the address lets in by itself."""

    url: str = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)
    folder: Path
    pid: int


@dataclass(frozen=True, slots=True)
class Ready:
    """It is there when ``url`` answers with our ``secret`` in the header ``MARK``, and ``then`` answers at all."""

    url: str
    secret: str = field(repr=False)
    then: str = ""


@contextmanager
def hub(folder: Path, storages: Storages, arguments: Sequence[str] = ()) -> Iterator[Home]:
    """A JupyterHub with the gateway as its service, and three users; ``arguments`` are for the notebook servers."""
    state, jupyter = folder / "hub", _quiet_jupyter(folder)
    state.mkdir(mode=0o700)
    port, hub_port, proxy_port, gateway_port = _port(8000), *free_ports(3)
    secret = secrets.token_hex(16)
    settings = _settings(folder, storages, f'[gateway]\nstate_dir = "{folder}/state"\n', [f"community:{COMMUNITY}"])
    passwords = _make_users(state / "users.json")
    text = HUB.substitute(
        port=port, hub_port=hub_port, proxy_port=proxy_port, gateway_port=gateway_port, state=state,
        homes=folder / "homes", users_file=state / "users.json", jupyter=jupyter, settings=settings, web=storages.web,
        community=COMMUNITY, curators=CURATORS, notebook=notebook.NAME, arguments=[*_as_root(), *arguments],
        mark=MARK, secret=secret,
    )  # fmt: skip
    write_private(state / "jupyterhub_config.py", text)
    command = _program("jupyterhub.app", "main", "-f", str(state / "jupyterhub_config.py"))
    url = f"http://127.0.0.1:{port}/"
    ready = Ready(f"{url}hub/api/", secret, f"{url}services/scigate/readyz")
    with _running(command, state, folder / "hub.log", ready) as process:
        yield Home(url, passwords, folder / "homes", process.pid)


@contextmanager
def lab(folder: Path, storages: Storages, arguments: Sequence[str] = ()) -> Iterator[Home]:
    """JupyterLab alone: the gateway runs inside its server."""
    home, token, secret = folder / "home", secrets.token_urlsafe(24), secrets.token_hex(16)
    home.mkdir()
    notebook.write(home / notebook.NAME, storages.web)
    settings = _settings(folder, storages, f'[gateway]\nstate_dir = "{folder}/state"\nport = 0\n', ["*"])
    port = _port(8888)
    command = _program("jupyterlab.labapp", "main", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0")
    command += [*_as_root(), *arguments, f"--ServerApp.root_dir={home}"]
    command += [f"--ScigateExtension.state_dir={folder / 'state'}"]  # else it would share the one of the user's own
    command += [f"--ServerApp.tornado_settings={{'headers': {{'{MARK}': '{secret}'}}}}"]
    more = {"JUPYTER_CONFIG_PATH": str(_quiet_jupyter(folder)), "JUPYTER_TOKEN": token, "SCIGATE_CONFIG": str(settings)}
    more["HOME"] = str(home)  # as on a hub: the user's own Jupyter is neither changed nor changes anything here
    url = f"http://127.0.0.1:{port}/"
    with _running(command, home, folder / "lab.log", Ready(f"{url}api", secret), more) as process:
        yield Home(f"{url}lab/tree/{notebook.NAME}?token={token}", {}, home, process.pid)


def _settings(folder: Path, storages: Storages, gateway: str, lab_users: list[str]) -> Path:
    s3, file = storages.s3, folder / "scigate.toml"
    write_private(folder / "s3-secret", s3.secret_key)
    values = {
        "lab": str(storages.lab), "lab_users": lab_users, "endpoint": s3.endpoint, "bucket": s3.bucket,
        "region": s3.region, "access_key": s3.access_key, "secret_file": str(folder / "s3-secret"),
        "web": urlsplit(storages.web).netloc,
    }  # fmt: skip
    quoted = {name: json.dumps(value) for name, value in values.items()}
    report = "https://tracker.example.org/scigate/new"
    write_private(file, SETTINGS.substitute(gateway=gateway, report=report, **quoted))
    return file


def _quiet_jupyter(folder: Path) -> Path:
    """JupyterLab asks people whether it may fetch news; a demo does not, and fetches nothing."""
    config = folder / "jupyter"
    (config / "labconfig").mkdir(parents=True)
    off = {"@jupyterlab/apputils-extension:announcements": True}
    (config / "labconfig" / "page_config.json").write_text(json.dumps({"disabledExtensions": off}))
    return config


def _make_users(path: Path) -> dict[str, str]:
    """Their passwords, made by the tool that comes with the authenticator and keeps only hashes of them."""
    return {name: _make_user(path, name, groups) for name, groups in USERS.items()}


def _make_user(path: Path, name: str, groups: Sequence[str]) -> str:
    given = [word for group in groups for word in ("--group", group)]
    tool = [sys.executable, "-m", "scigate.hub_config.users", "--file", str(path)]
    command = [*tool, "add", name, *given, "--generate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own program
    if done.returncode:
        raise DemoFailed(f"the users of the hub could not be made: {done.stderr[-500:]}")
    return done.stdout.strip()


def _as_root() -> list[str]:
    return ["--allow-root"] if os.geteuid() == 0 else []


def _program(module: str, name: str, *arguments: str) -> list[str]:
    """A program of this environment, also where it is not on the PATH."""
    return [sys.executable, "-c", PROGRAM.format(module=module, name=name), *arguments]


def _port(wanted: int) -> int:
    """The usual port, or a free one if it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_ports(1)[0]
        return wanted


@contextmanager
def _running(
    command: Sequence[str], place: Path, log: Path, ready: Ready, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the end of the block; it goes down with us, even when we are killed."""
    environment = _environment(more or {})
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 our own program
            command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
        )
    try:
        _wait_until(ready, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what leads to the user's own Jupyter and gateway."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_USER)}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}", **more}


def _wait_until(ready: Ready, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if _answers(ready) and process.poll() is None:
            return
        time.sleep(0.1)
    raise DemoFailed(f"it did not start; the end of {log.name}:\n{log.read_text(errors='replace')[-4000:]}")


def _answers(ready: Ready) -> bool:
    """Whether it is all there. ``DemoFailed`` if somebody else answers in its place."""
    try:
        with urllib.request.urlopen(ready.url, timeout=5) as answer:  # noqa: S310 our own server
            if answer.headers.get(MARK) != ready.secret:
                raise DemoFailed(f"another program answers at {ready.url}: end that one, or start the demo again")
        if ready.then:
            urllib.request.urlopen(ready.then, timeout=5).close()  # noqa: S310 our own server
    except (OSError, HTTPException):  # nobody listens yet, or it says 503
        return False
    return True
