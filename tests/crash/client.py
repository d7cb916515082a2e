"""Clients of a gateway that keeps dying: they repeat what was not answered, and write down what was."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from .case import Operation
from .ground import TOKEN
from .history import History

TRANSFERS: Final = "/api/v1/transfers"
PATIENCE: Final = 120.0  # seconds for an answer: what is asked twice may be done after what is asked next
NOT_ANSWERED: Final = (OSError, http.client.HTTPException, ValueError)


class GaveUp(Exception):
    """The run ended before the gateway answered."""


class Client:
    """Does one operation after the other, each in the thread that asks for it."""

    def __init__(self, port: int, history: History, stop: threading.Event) -> None:
        self._port, self._history, self._stop = port, history, stop

    def do(self, operation: Operation, rng: random.Random) -> None:
        """Submit until it is acknowledged, then ask what is to be asked."""
        if self._stop.wait(operation.start):
            return
        place = operation.pieces[0].place
        before = Path(place).stat().st_ino if operation.vanishes_when_there else 0
        if operation.lose_reply:
            self._lose(operation, rng)
        transfer = self._submit(operation)
        if operation.upload:
            operation.transfer = transfer
        if operation.vanishing:
            self._stop.wait(0 if operation.vanishes_when_there else rng.uniform(0, 1.5))
            while before and Path(place).stat().st_ino == before and not self._stop.wait(0.01):
                pass
            Path(operation.vanishing).unlink()
        if operation.changing:
            self._await_begin(operation, transfer)
            self._stop.wait(rng.uniform(0, 0.5))
            _change(*operation.changing)
        if operation.missing:
            self._mend(operation, transfer)
        self._ask(operation, transfer)
        if rng.random() < 0.3:
            self._submit(operation)

    def _ask(self, operation: Operation, transfer: str) -> None:
        begun = time.monotonic()
        for after, wish in operation.wishes:
            self._stop.wait(max(0.0, begun + after - time.monotonic()))
            self._insist("POST", f"{TRANSFERS}/{transfer}/{wish}", wish, operation.key)

    def _await_begin(self, operation: Operation, transfer: str) -> None:
        """Wait until a file of it is being moved, or none will be any more."""
        while True:
            _, seen = self._insist("GET", f"{TRANSFERS}/{transfer}", "look", operation.key)
            if seen.get("finished") or seen.get("files", {}).get("active"):
                return
            if self._stop.wait(0.05):
                raise GaveUp

    def _mend(self, operation: Operation, transfer: str) -> None:
        """Wait until it has failed for want of its source, bring the source, try again."""
        assert operation.missing
        path, original = operation.missing
        while self._insist("GET", f"{TRANSFERS}/{transfer}", "look", operation.key)[1].get("state") != "FAILED":
            if self._stop.wait(0.1):
                raise GaveUp
        shutil.copyfile(original, path)
        self._insist("POST", f"{TRANSFERS}/{transfer}/retry", "retry", operation.key)

    def _submit(self, operation: Operation) -> str:
        method, path, body = _request_of(operation)
        status, answer = self._insist(method, path, "submit", operation.key, body)
        if status != 202:
            raise AssertionError(f"{operation.name} was refused: {status} {answer}")
        found: str = answer["transfer"]["id"]
        self._history.write("ok", "submit", key=operation.key, transfer=found, replayed=answer["replayed"])
        return found

    def _insist(self, method: str, path: str, what: str, key: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        while not self._stop.is_set():
            self._history.write("invoke", what, key=key)
            try:
                status, answer = self.ask(method, path, body, key if what == "submit" else None)
            except NOT_ANSWERED as error:
                self._history.write("info", what, key=key, error=repr(error))
            else:
                if status not in (429, 500, 502, 503, 507):
                    if what != "submit":
                        self._history.write("ok" if status < 400 else "fail", what, key=key, status=status)
                    return status, answer
                self._history.write("info", what, key=key, status=status, answer=answer)
            self._stop.wait(0.05)
        raise GaveUp

    def _lose(self, operation: Operation, rng: random.Random) -> None:
        """Send the submit, and hang up before the answer comes."""
        method, path, body = _request_of(operation)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, _headers(path, operation.key))
            time.sleep(rng.uniform(0, 0.03))
        except NOT_ANSWERED:
            pass
        finally:
            connection.close()
        self._history.write("info", "submit", key=operation.key, error="the reply was lost")

    def ask(self, method: str, path: str, body: bytes = b"", key: str | None = None) -> tuple[int, dict[str, Any]]:
        """One request. Raises one of ``NOT_ANSWERED``."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, _headers(path, key))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        finally:
            connection.close()


def _change(path: str, pieces: Mapping[int, bytes]) -> None:
    with Path(path).open("r+b", buffering=0) as file:
        for offset, data in pieces.items():
            file.seek(offset)
            file.write(data)


def _request_of(operation: Operation) -> tuple[str, str, bytes]:
    if operation.upload:
        storage, _, path = operation.files[0][1].partition(":/")
        return "PUT", f"/api/v1/files/{storage}/{path}", Path(operation.upload).read_bytes()
    files = [{"source": source, "destination": destination} for source, destination in operation.files]
    if operation.in_bulk:
        wishes = urlencode({"overwrite": operation.overwrite, "label": operation.key})
        return "POST", f"{TRANSFERS}/bulk?{wishes}", "".join(json.dumps(line) + "\n" for line in files).encode()
    body: dict[str, Any] = {"files": files, "overwrite": operation.overwrite, "label": operation.key}
    if operation.deadline is not None:
        body["deadline"] = datetime.fromtimestamp(operation.deadline, UTC).isoformat()
    if operation.not_before is not None:
        body["not_before"] = datetime.fromtimestamp(operation.not_before, UTC).isoformat()
    return "POST", TRANSFERS, json.dumps(body).encode()


def _headers(path: str, key: str | None) -> dict[str, str]:
    kind = "application/x-ndjson" if "/bulk?" in path else "application/json"
    common = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    return common | ({"Idempotency-Key": key} if key else {})
