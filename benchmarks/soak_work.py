"""What people do during the soak, and the independent reader that compares what arrived."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scigate.gateway_api.demo import witness

SIZES: Final = (0, 1, 10_000, 100_000, 1_000_000, 3_000_000, 12_000_000)
WEIGHTS: Final = (1, 1, 40, 20, 8, 3, 1)
SOURCES: Final = 60
KEPT: Final = 10  # one of so many compared files stays, and is compared once more at the end
SMALL, MOST_TO_SMALL = "small", 1_000_000
"""The storage on the disk that is full now and then, and how large a file for it is at most."""
FINAL: Final = frozenset({"DONE", "FAILED", "CANCELLED"})


@dataclass(slots=True)
class Asked:
    """A transfer that was accepted: (storage, path, SHA-256) of each file."""

    kind: str
    files: list[tuple[str, str, str]]
    since: float


@dataclass(slots=True)
class Book:
    """What was asked, what came of it, and what is wrong."""

    asked: dict[str, Asked] = field(default_factory=dict)
    kept: list[tuple[str, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, transfer: str, asked: Asked) -> None:
        with self.lock:
            self.asked[transfer] = asked
            self.counts[f"{asked.kind} submitted"] += 1

    def count(self, name: str, number: int = 1) -> None:
        with self.lock:
            self.counts[name] += number

    def accuse(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)


class Person:
    """Asks the gateway, and asks again while it is away; a POST or PUT with the same Idempotency-Key."""

    def __init__(self, url: str, token: str, ended: threading.Event) -> None:
        parts = urlsplit(url)
        self._address, self._token, self._ended = (parts.hostname or "", parts.port), token, ended
        self.retried = 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON; the last one seen when it never works."""
        given = {"Authorization": f"Bearer {self._token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        end, found = time.monotonic() + 120, (0, {})
        while time.monotonic() < end:
            with suppress(OSError, http.client.HTTPException, ValueError):
                connection = http.client.HTTPConnection(self._address[0], self._address[1], timeout=60)
                try:
                    connection.request(method, path, body, given)
                    answer = connection.getresponse()
                    found = (answer.status, json.loads(answer.read() or b"{}"))
                finally:
                    connection.close()
                if found[0] < 500:
                    return found
            self.retried += 1
            time.sleep(0.3)
        return found

    def submit(self, files: list[dict[str, str]], overwrite: str = "fail") -> str:
        """The id of the transfer. Raises ``RuntimeError``."""
        body = json.dumps({"files": files, "overwrite": overwrite}).encode()
        key = os.urandom(8).hex()
        status, answer = self.ask(
            "POST", "/api/v1/transfers", body, Content_Type="application/json", Idempotency_Key=key
        )
        if status != 202:
            raise RuntimeError(f"a submit was answered {status}: {answer}")
        return str(answer["transfer"]["id"])


class Crowd:
    """Threads that do each kind of thing again and again until ``ended``."""

    def __init__(self, url: str, token: str, sources: Mapping[str, str], targets: list[str], pulls: str) -> None:
        self.book, self.ended = Book(), threading.Event()
        self._url, self._token = url, token
        self._sources, self._names, self._targets, self._pulls = sources, list(sources), targets, pulls
        self._threads: list[threading.Thread] = []
        self._followed: dict[str, socket.socket] = {}
        """The connection of each follower, by the name of its thread."""
        self._folder = Path()

    def start(self, folder: Path, pause: float) -> None:
        """``folder`` holds the sources; ``pause`` in seconds between two acts of one person."""
        self._folder = folder
        for name, act in self._acts().items():
            thread = threading.Thread(target=self._again, args=(act, name, pause), name=f"soak-{name}", daemon=True)
            self._threads.append(thread)
        for number in range(5):
            self._threads.append(threading.Thread(target=self._follow, name=f"soak-follower-{number}", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.ended.set()
        for connection in list(self._followed.values()):  # else its follower would wait for the next heartbeat
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(150)

    def person(self) -> Person:
        return Person(self._url, self._token, self.ended)

    def _acts(self) -> dict[str, Callable[[Person, random.Random], None]]:
        acts = {"copy": self._copy, "upload": self._upload, "pull": self._pull, "cancel": self._cancel}
        return acts | {"look": self._look}

    def _again(self, act: Callable[[Person, random.Random], None], name: str, pause: float) -> None:
        person, chance = self.person(), random.Random(name)
        while not self.ended.is_set():
            try:
                act(person, chance)
            except RuntimeError as error:
                self.book.accuse(f"{name}: {error}")
            self.book.count(f"{name} asked")
            self.ended.wait(pause if name != "look" else pause / 5)
        self.book.count("requests repeated", person.retried)

    def _chosen(self, chance: random.Random, count: int) -> list[tuple[str, str, str]]:
        """(source, storage, path); no two files of a soak have the same destination."""
        target, mark, names = chance.choice(self._targets), os.urandom(6).hex(), self._names
        if target == SMALL:  # else files that are there would wait for others that find no room beside them
            names = [name for name in names if (self._folder / name).stat().st_size <= MOST_TO_SMALL]
            count = min(count, 5)
        return [(name, target, f"{mark}/{name}") for name in chance.sample(names, count)]

    def _copy(self, person: Person, chance: random.Random, kind: str = "copy", most: int = 20) -> str:
        chosen = self._chosen(chance, chance.randint(1, most))
        files = [{"source": f"lab:/{name}", "destination": f"{to}:/{path}"} for name, to, path in chosen]
        return self._remember(person.submit(files), kind, chosen)

    def _pull(self, person: Person, chance: random.Random) -> None:
        chosen = self._chosen(chance, chance.randint(1, 5))
        files = [{"source": f"{self._pulls}/{name}", "destination": f"{to}:/{path}"} for name, to, path in chosen]
        self._remember(person.submit(files), "pull", chosen)

    def _upload(self, person: Person, chance: random.Random) -> None:
        name, to, path = self._chosen(chance, 1)[0]
        data, key = (self._folder / name).read_bytes(), os.urandom(8).hex()
        status, answer = person.ask("PUT", f"/api/v1/files/{to}/{path}", data, Idempotency_Key=key)
        if status != 202:
            raise RuntimeError(f"a PUT was answered {status}: {answer}")
        self._remember(answer["transfer"]["id"], "upload", [(name, to, path)])

    def _cancel(self, person: Person, chance: random.Random) -> None:
        transfer = self._copy(person, chance, "cancel", 40)
        time.sleep(chance.random())
        status, answer = person.ask("POST", f"/api/v1/transfers/{transfer}/cancel")
        if status not in {202, 409}:
            raise RuntimeError(f"a cancel was answered {status}: {answer}")

    def _look(self, person: Person, chance: random.Random) -> None:
        target = chance.choice(self._targets)
        paths = ["/api/v1/transfers?limit=20", "/api/v1/status", f"/api/v1/files/{target}/", "/api/v1/storages"]
        status, answer = person.ask("GET", chance.choice(paths))
        if status != 200:
            raise RuntimeError(f"a GET was answered {status}: {answer}")

    def _remember(self, transfer: str, kind: str, chosen: list[tuple[str, str, str]]) -> str:
        files = [(to, path, self._sources[name]) for name, to, path in chosen]
        self.book.add(transfer, Asked(kind, files, time.monotonic()))
        return transfer

    def _follow(self) -> None:
        """Server-sent events, from where they broke off."""
        last, parts = "", urlsplit(self._url)
        while not self.ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
                headers = {"Authorization": f"Bearer {self._token}", "Accept": "text/event-stream"}
                connection.request("GET", "/api/v1/events", headers=headers | ({"Last-Event-ID": last} if last else {}))
                self._followed[threading.current_thread().name] = connection.sock
                answer = connection.getresponse()
                for number in self._ids(answer):
                    if last and number <= int(last):
                        self.book.accuse(f"event {number} came after {last}")
                    last = str(number)
                    self.book.count("events followed")
                connection.close()
            self.ended.wait(0.5)

    def _ids(self, answer: http.client.HTTPResponse) -> Iterator[int]:
        """Of the events with data; one without only says where a stream begins."""
        number, has_data = None, False
        while not self.ended.is_set() and (line := answer.readline()):
            if line.startswith(b"id:"):
                number = int(line[3:])
            has_data = has_data or line.startswith(b"data:")
            if line == b"\n":
                if number is not None and has_data:
                    yield number
                number, has_data = None, False


class Reader:
    """Looks at transfers that may have ended, and compares what is at their destinations; no code of SciGate reads."""

    def __init__(self, crowd: Crowd, folders: Mapping[str, Path], bucket: tuple[Any, str] | None) -> None:
        self._crowd, self._folders, self._bucket = crowd, folders, bucket
        self._person, self._compared, self._one = crowd.person(), 0, threading.Lock()

    def round(self) -> int:
        """Compare what has ended since; how many transfers are still open."""
        with self._one:
            return self._round(self._crowd.book)

    def _round(self, book: Book) -> int:
        with book.lock:
            asked = dict(book.asked)
        for transfer, its in asked.items():
            status, answer = self._person.ask("GET", f"/api/v1/transfers/{transfer}")
            if status != 200:
                book.accuse(f"the accepted transfer {transfer} was answered {status}: {answer}")
            elif answer["state"] in FINAL:
                self._judge(answer, its)
            else:
                continue
            with book.lock:
                del book.asked[transfer]
        return len(book.asked)

    def hurry(self) -> None:
        """Ask for what waits for its next try to be tried now, as people do when a disk has room again."""
        for transfer in list(self._crowd.book.asked):
            self._person.ask("POST", f"/api/v1/transfers/{transfer}/retry")

    def again(self) -> None:
        """The files that were left where they were, once more."""
        for place in self._crowd.book.kept:
            self._compare(*place)

    def _judge(self, answer: Mapping[str, Any], its: Asked) -> None:
        book, state = self._crowd.book, answer["state"]
        book.count(f"{its.kind} {state}")
        with book.lock:
            book.slowest = max(book.slowest, time.monotonic() - its.since)
        if state == "FAILED" or (state == "CANCELLED" and its.kind != "cancel"):
            book.accuse(f"the {its.kind} {answer['id']} ended {state}: {answer['cause']}")
        for place in its.files:
            self._compare(*place, must_be=state == "DONE")

    def _compare(self, storage: str, path: str, expected: str, must_be: bool = True) -> None:
        found = self._digest(storage, path)
        if found is None and not must_be:
            return
        self._crowd.book.count("files compared")
        if found != expected:
            self._crowd.book.accuse(f"{storage}:/{path} is {'missing' if found is None else 'not what was sent'}")
        self._compared += 1
        if self._compared % KEPT == 0 and storage != SMALL:  # what stays would fill that one for good
            self._crowd.book.kept.append((storage, path, expected))
        elif found is not None:
            self._remove(storage, path)

    def _digest(self, storage: str, path: str) -> str | None:
        if storage in self._folders:
            file = self._folders[storage] / path
            return witness.of_file(file) if file.exists() else None
        assert self._bucket is not None
        client, bucket = self._bucket
        try:
            return sha256(client.get_object(Bucket=bucket, Key=path)["Body"].read()).hexdigest()
        except client.exceptions.NoSuchKey:
            return None

    def _remove(self, storage: str, path: str) -> None:
        if storage in self._folders:
            file = self._folders[storage] / path
            file.unlink()
            with suppress(OSError):
                file.parent.rmdir()
        elif self._bucket is not None:
            self._bucket[0].delete_object(Bucket=self._bucket[1], Key=path)


def make_sources(folder: Path, seed: int) -> dict[str, str]:
    """Files of all sizes; their names and SHA-256."""
    folder.mkdir()
    chance, found = random.Random(seed), {}
    for number, size in enumerate([*SIZES, *chance.choices(SIZES, WEIGHTS, k=SOURCES - len(SIZES))]):
        data = chance.randbytes(size)
        (folder / f"{number}.dat").write_bytes(data)
        found[f"{number}.dat"] = sha256(data).hexdigest()
    return found


def web_server(folder: Path) -> ThreadingHTTPServer:
    """The same files for those who pull; stop it with ``shutdown``."""

    class Quiet(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, name="soak-web", daemon=True).start()
    return server
