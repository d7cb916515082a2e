"""Secrets that are planted everywhere, and looked for in everything that the gateway writes, answers or prints."""

from __future__ import annotations

import base64
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from scigate.gateway_api.http.routes import ROUTES

from tests.evidence import record
from tests.processes import free_port

from .commands import said_by
from .conftest import Starter
from .gateway import COMMAND, TOKENS, Evil, command_environment
from .test_bombs import spoken
from .wire import Reply

V1 = "/api/v1"
OTHERS = "WHERE pid <> pg_backend_pid() AND datname = current_database()"
NAMES = ("s3-secret", "s3-session", "user-token", "master-key", "url-password", "url-signature", "webhook-query",
         "database-password", "typed-token", "basic-password", "proxy-password", "hub-token", "oauth-code")  # fmt: skip
CANARIES = {name: f"CaNaRy{number:02}{name.replace('-', '')}{'z' * 24}" for number, name in enumerate(NAMES)}
KEPT_IN_DATABASE = ("url-signature", "webhook-query")
"""What the gateway needs again after a restart, and cannot derive: the query of a source and of a webhook."""


def spellings(secret: str) -> list[bytes]:
    """The secret as it stands, and as base64 hides it at any of the three alignments."""
    hidden = [base64.b64encode(b"x" * shift + secret.encode())[4 if shift else 0 : -4] for shift in range(3)]
    return [
        secret.encode(),
        quote(secret, safe="").encode(),
        secret.encode("utf-16-le"),
        secret[::-1].encode(),
        *hidden,
    ]


class Reflector(BaseHTTPRequestHandler):
    """A server that answers every request with an error that says all it was told."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        said = f"{self.requestline}\n{self.headers}"
        code = "<?xml version='1.0'?><Error><Code>Odd</Code><Message>" + said + "</Message></Error>"
        body = code.encode("latin-1", "replace")
        self.send_response(400 if self.command != "GET" else 403, said.split("\n", maxsplit=1)[0][:100])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def reflector() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Reflector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@dataclass
class Planted:
    """A gateway that knows every secret, and everything it said."""

    evil: Evil
    said: dict[str, bytes] = field(default_factory=dict)
    shown_secret: str = ""
    page_ticket: str = ""

    def ask(self, method: str, target: str, body: object = b"", user: str | None = "ada", **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.evil.wire(user).ask(method, target, body, given)
        self.said[f"{len(self.said)} {method} {target[:80]}"] = str(reply.headers).encode() + reply.body
        return reply

    def command(self, *words: str, url: bool = True, **environment: str) -> None:
        """A command of the user whose token is a canary."""
        own = {**command_environment(self.evil.folder), "SCIGATE_TOKEN": CANARIES["user-token"], **environment}
        if url:
            own["SCIGATE_URL"] = f"http://127.0.0.1:{self.evil.port}"
        if "serve" not in words:
            self.said[f"scigate {' '.join(words)}"] = said_by(words, own, self.evil.folder)[1]
            return
        command = [sys.executable, "-c", COMMAND, *words]
        done = subprocess.run(command, capture_output=True, env=own, cwd=self.evil.folder, timeout=120, check=False)
        self.said[f"scigate {' '.join(words)}"] = done.stdout + done.stderr


def extra(folder: Path, reflector: int) -> str:
    """Settings whose secrets are in files, so that nothing but those files holds them."""
    names = ("s3-secret", "s3-session", "user-token", "master-key", "hub-token")
    files = {name: folder / f"secret-{name}" for name in names}
    for name, path in files.items():
        path.touch(mode=0o600)
        path.write_text(CANARIES[name])
    return f"""
[storages.bucket]
type = "s3"
endpoint = "http://127.0.0.1:{reflector}"
bucket = "bucket"
access_key = "AKcanary"
secret_key = {{ file = "{files["s3-secret"]}" }}
session_token = {{ file = "{files["s3-session"]}" }}
[hub]
api_url = "http://127.0.0.1:{reflector}/hub/api"
api_token = {{ file = "{files["hub-token"]}" }}
[users.tess]
token = {{ file = "{files["user-token"]}" }}
"""


@pytest.fixture(scope="module")
def planted(start_evil: Starter, reflector: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """The gateway after it was asked for everything that could make it tell."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "tmp").mkdir()
    changes = [
        ('allow = ["127.0.0.1:9"]', f'allow = ["127.0.0.1:9", "127.0.0.1:{reflector}"]'),
        ("[gateway]", f'[gateway]\nsecret_key = {{ file = "{folder}/secret-master-key" }}'),
    ]
    with start_evil(extra(folder, reflector), {"TMPDIR": str(folder / "tmp")}, changes) as evil:
        made = Planted(evil)
        provoke(made, reflector)
        made.said["(tmp)"] = b"".join(contents(folder / "tmp").values())
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    """All files below it, but such as go away meanwhile; of the database its log first, from which it is filled."""
    found = {}
    for path in filter(Path.is_file, sorted(folder.rglob("*"), reverse=True)):
        with suppress(FileNotFoundError):
            found[str(path)] = path.read_bytes()
    return found


def provoke(planted: Planted, reflector: int) -> None:
    """Every secret is used, refused, mistyped, and asked after."""
    ask, secret = planted.ask, CANARIES
    (planted.evil.lab / "file").write_bytes(b"data")
    for path in (f"{V1}/files/bucket/", f"{V1}/files/bucket/x", f"{V1}/storages/bucket", f"{V1}/status"):
        ask("GET", path)
    ask("PUT", f"{V1}/files/bucket/up", b"data")
    ask("DELETE", f"{V1}/files/bucket/up")
    sources = (
        f"http://127.0.0.1:{reflector}/data?X-Amz-Signature={secret['url-signature']}&token={secret['url-signature']}",
        f"http://user:{secret['url-password']}@127.0.0.1:{reflector}/data", "bucket:/x",
        f"https://user:{secret['url-password']}@example.org/", f"ftp://u:{secret['url-password']}@127.0.0.1/x",
        f"http://127.0.0.1:9/x?sig={secret['url-signature']}", f"http://{secret['url-password']}@[::1/",
    )  # fmt: skip
    for number, source in enumerate(sources):
        body = {"files": [{"source": source, "destination": f"lab:/in{number}"}]}
        reply = ask("POST", f"{V1}/transfers", body)
        if reply.status == 202:
            time.sleep(0.3)
            for more in ("", "/files", "/events"):
                ask("GET", reply.header("Location") + more)
    planted_webhook(planted, reflector)
    for header in (f"Bearer {secret['typed-token']}", f"Basic {basic(secret['basic-password'])}",
                   f"Bearer{secret['typed-token']}", f"Token {secret['typed-token']}"):  # fmt: skip
        for path in ("/docs", f"{V1}/storages", f"{V1}/nothing", "/healthz"):
            ask("GET", path, user=None, Authorization=header)
    ask("GET", f"{V1}/storages?token={secret['typed-token']}")
    ask("GET", f"{V1}/storages?access_token={secret['typed-token']}", user=None)
    ask("GET", f"{V1}/storages", user=None, Cookie=f"token={secret['typed-token']}",
        Proxy_Authorization=f"Basic {basic(secret['proxy-password'])}")  # fmt: skip
    for route in ROUTES:
        if route.method == "GET" and "events" not in route.path and "{" not in route.path:
            ask("GET", route.path, user="root")
    use_ticket(planted)
    sign_in(planted)
    follow(planted)
    commands(planted)
    force_errors(planted)


def use_ticket(planted: Planted) -> None:
    """A page ticket: the one answer that shows it is left out of what was said."""
    reply = planted.evil.wire("ada").ask("POST", f"{V1}/tickets/page", b"")
    assert reply.status == 201, reply.body
    ticket = planted.page_ticket = reply.json["ticket"]
    for path in (f"{V1}/storages", f"{V1}/nothing", f"{V1}/events/ws", "/metrics"):
        planted.ask("GET", path, user=None, Authorization=f"Bearer {ticket}")
        planted.ask("GET", path, user=None, Sec_WebSocket_Protocol=f"scigate.v1, ticket.{ticket}")
    planted.ask("POST", f"{V1}/tickets/page", user=None, Authorization=f"Bearer {ticket}")


def sign_in(planted: Planted) -> None:
    """At a hub that refuses, and tells all that it was told: the code, and the gateway's own token."""
    begun = planted.ask("GET", "/", user=None)
    assert begun.status == 302, begun.body
    state = re.search(r"[?&]state=([^&]+)", begun.header("Location"))
    assert state is not None
    target = f"/oauth_callback?code={CANARIES['oauth-code']}&state={state[1]}"
    cookie = begun.header("Set-Cookie").partition(";")[0]
    assert planted.ask("GET", target, user=None, Cookie=cookie).status == 403
    assert planted.ask("GET", target, user=None).status == 403


def follow(planted: Planted) -> None:
    """All events since the beginning, as an admin sees them."""
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['root']}\r\n\r\n"
    message = f"GET {V1}/events?topics=transfers&after=0 HTTP/1.1\r\n{head}"
    wanted = b"scigate.transfer.submitted"
    said = planted.said["events"] = spoken(planted.evil.port, message.encode(), wanted=wanted)
    assert wanted in said


def planted_webhook(planted: Planted, reflector: int) -> None:
    url = f"http://127.0.0.1:{reflector}/hook?key={CANARIES['webhook-query']}"
    reply = planted.evil.wire("ada").ask("POST", f"{V1}/webhooks", {"url": url})
    assert reply.status == 201, reply.body
    planted.shown_secret = reply.json["secret"]  # the one answer that shows it
    where = f"{V1}/webhooks/{reply.json['webhook']['id']}"
    planted.ask("POST", f"{where}/test")
    for user in ("root", "bo"):
        planted.ask("GET", f"{V1}/webhooks", user=user)
        planted.ask("GET", where, user=user)
    planted.ask("POST", f"{V1}/webhooks", {"url": f"http://u:{CANARIES['url-password']}@127.0.0.1:{reflector}/"})


def basic(password: str) -> str:
    return base64.b64encode(f"user:{password}".encode()).decode()


def commands(planted: Planted) -> None:
    config = str(planted.evil.folder / "scigate.toml")
    planted.command("doctor", "--config", config)
    planted.command("doctor", "--config", config, "--json")
    planted.command("ls", "--debug")
    planted.command("ls", "bucket:/", "--debug")
    planted.command("transfers", "--json")
    planted.command("cp", "--debug", f"http://u:{CANARIES['url-password']}@127.0.0.1:9/x", "lab:/x")
    planted.command("ls", url=False, SCIGATE_URL=f"http://u:{CANARIES['proxy-password']}@127.0.0.1:9")
    broken = planted.evil.folder / "broken.toml"
    url = f"postgresql+psycopg://scigate:{CANARIES['database-password']}@127.0.0.1:{free_port()}/scigate"
    broken.write_text('[database]\nurl = { env = "DB" }\n[gateway]\nstate_dir = "other"\nport = 0\n')
    for words in (("doctor",), ("migrate",), ("serve", "--debug")):
        planted.command(*words, "--config", str(broken), DB=url)
    in_the_clear = planted.evil.folder / "clear.toml"
    in_the_clear.write_text(f'[database]\nurl = "{url}"\n[users.x]\ntoken = "{CANARIES["typed-token"]}"\n')
    planted.command("serve", "--config", str(in_the_clear))


def force_errors(planted: Planted) -> None:
    """The records are damaged: a table is away for a while, and what one of them holds is no JSON."""
    source = f"http://127.0.0.1:9/y?X-Amz-Signature={CANARIES['url-signature']}"
    body = {"files": [{"source": source, "destination": "lab:/damaged"}]}
    where = planted.ask("POST", f"{V1}/transfers", body).header("Location")
    change(planted, "ALTER TABLE transfer RENAME TO elsewhere")
    replies = [planted.ask("POST", f"{V1}/transfers", body), planted.ask("GET", where)]
    change(planted, "ALTER TABLE elsewhere RENAME TO transfer")
    change(planted, "UPDATE file SET digests = '{damaged', cause = '[]'")
    replies.append(planted.ask("GET", f"{where}/files"))
    assert [reply.status for reply in replies] == [503, 503, 500]


def change(planted: Planted, statement: str) -> None:
    with closing(sqlite3.connect(planted.evil.folder / "state" / "scigate.db", timeout=30)) as database:
        database.execute(statement)
        database.commit()


def found_in(where: dict[str, bytes], secrets: dict[str, str]) -> list[str]:
    return [f"{name} in {place}" for place, data in where.items() for name, secret in secrets.items()
            if any(spelling in data for spelling in spellings(secret))]  # fmt: skip


def test_no_answer_and_no_command_tells_a_secret(planted: Planted) -> None:
    secrets = {**CANARIES, "webhook-secret": planted.shown_secret, "page-ticket": planted.page_ticket}
    own = {"url-signature", "webhook-query"}  # the owner may see their own URL, nobody else
    found = [line for line in found_in(planted.said, secrets) if line.split(" in ")[0] not in own]
    record("evil.canaries", runs=len(planted.said) * len(secrets), bad=len(found), seconds=0, where="answers")
    assert len(planted.said) > 60
    assert found == []


def test_a_signed_url_is_shown_to_nobody(planted: Planted) -> None:
    secrets = {"url-signature": CANARIES["url-signature"]}
    assert found_in(planted.said, secrets) == []


def test_no_line_of_the_log_holds_a_secret(planted: Planted) -> None:
    log = planted.evil.log.read_bytes()
    secrets = {**CANARIES, "webhook-secret": planted.shown_secret, "page-ticket": planted.page_ticket,
               **{f"token of {name}": token for name, token in TOKENS.items()}}  # fmt: skip
    found = found_in({"the log": log}, secrets)
    record("evil.canaries", runs=len(secrets), bad=len(found), seconds=0, where="log", lines=log.count(b"\n"))
    assert b"Traceback" in log, "the forced errors are in it"
    assert found == []


def test_no_file_of_the_gateway_holds_a_secret(planted: Planted) -> None:
    """The database with its log, the staging area, and what commands left behind."""
    keep = {f"secret-{name}" for name in CANARIES}
    state = contents(planted.evil.folder / "state")
    files = {name: data for name, data in state.items() if name.rpartition("/")[2] not in keep}
    assert any(name.endswith("scigate.db-wal") for name in files)
    secrets = {name: secret for name, secret in CANARIES.items() if name not in KEPT_IN_DATABASE}
    secrets |= {"webhook-secret": planted.shown_secret, "page-ticket": planted.page_ticket, **TOKENS}
    found = found_in(files, secrets)
    record("evil.canaries", runs=len(files) * len(secrets), bad=len(found), seconds=0, where="files")
    assert found == []


def test_the_process_shows_no_secret(planted: Planted) -> None:
    """Command line and environment, which others on the machine can read, or its own user can."""
    process = Path(f"/proc/{planted.evil.process.pid}")
    shown = {name: (process / name).read_bytes() for name in ("cmdline", "environ")}
    assert b"serve" in shown["cmdline"]
    assert found_in(shown, CANARIES) == []


def test_secrets_are_really_in_use(planted: Planted) -> None:
    """The tests above would see them: the gateway does know its secrets, and the search finds what is there."""
    assert planted.evil.wire(None).ask("GET", f"{V1}/storages", b"",
                                       {"Authorization": f"Bearer {CANARIES['user-token']}"}).status == 200  # fmt: skip
    state = contents(planted.evil.folder / "state")
    database = {"database": b"".join(data for name, data in state.items() if "/scigate.db" in name)}
    kept = {name: CANARIES[name] for name in KEPT_IN_DATABASE}
    assert len(found_in(database, kept)) == len(kept)
    hidden = base64.b64encode(b"ab" + CANARIES["user-token"].encode())
    assert found_in({"x": hidden}, CANARIES) == ["user-token in x"]


def test_the_password_of_the_database_is_told_nowhere(
    start_evil: Starter, postgresql_database: str, tmp_path: Path
) -> None:
    """Also when the server throws everybody out, so that errors of the driver are logged."""
    import psycopg

    password = postgresql_database.partition("@")[0].rpartition(":")[2]
    where = tmp_path / "url"
    where.touch(mode=0o600)
    where.write_text(postgresql_database)
    with start_evil(f'[database]\nurl = {{ file = "{where}" }}\n') as evil:
        planted = Planted(evil)
        with psycopg.connect(postgresql_database.replace("+psycopg", ""), autocommit=True) as connection:
            for _ in range(3):
                connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {OTHERS}")
                for target in (f"{V1}/transfers", f"{V1}/status", "/metrics", "/readyz", f"{V1}/uploads"):
                    planted.ask("GET", target, user="root")
        planted.command("doctor", "--config", str(evil.folder / "scigate.toml"), "--debug")
        process = Path(f"/proc/{evil.process.pid}")
        places = {**planted.said, "log": evil.log.read_bytes(), "cmdline": (process / "cmdline").read_bytes(),
                  "environ": (process / "environ").read_bytes(),
                  **contents(evil.folder / "state")}  # fmt: skip
    found = found_in(places, {"the password": password})
    record("evil.canaries", runs=len(places), bad=len(found), seconds=0, where="postgresql")
    assert found == []


def test_a_crash_leaves_no_core(start_evil: Starter, tmp_path: Path) -> None:
    """Secrets are in memory, and a core would be a copy of it on disk, or in the hands of whoever collects cores."""
    limitless = ["prlimit", "--core=unlimited", "--"]
    plain = subprocess.Popen([*limitless, sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
                             cwd=tmp_path, stdout=subprocess.PIPE)  # fmt: skip
    assert plain.stdout is not None
    plain.stdout.readline()
    would_dump = dumped(plain.pid)
    plain.returncode = -signal.SIGSEGV
    plain.stdout.close()
    with start_evil("", wrapper=limitless) as evil:
        left_one = dumped(evil.process.pid)
        evil.process.returncode = -signal.SIGSEGV
    record("evil.canaries", runs=1, bad=int(left_one), seconds=0, where="core", others_leave_one=would_dump)
    assert not left_one


def dumped(pid: int) -> bool:
    """Whether this child of ours, killed as by a fault of its own, left a core (wait(2), WCOREDUMP)."""
    os.kill(pid, signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(pid, 0)[1])
