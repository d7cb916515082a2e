"""Senders of resumable uploads (tus 1.0) to a gateway that keeps dying: after each death they ask, and go on."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import threading
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from .case import Operation, Sending
from .client import NOT_ANSWERED, Client, GaveUp
from .ground import TOKEN
from .history import History

UPLOADS: Final = "/api/v1/uploads"
BYTES: Final = "application/offset+octet-stream"
PASSING: Final = frozenset({423, 429, 500, 502, 503, 507})
DEFERRED: Final = 0.25  # of the uploads, so many do not say their length when they begin
CHUNK: Final = 128 << 10


class Gone(Exception):
    """The upload has ended: 410."""


class Sender:
    """Does one operation after the other, each in the thread that asks for it. ``kept``: so many seconds the gateway
    keeps a slot for a sender who is silent."""

    def __init__(self, port: int, history: History, stop: threading.Event, kept: float) -> None:
        self._port, self._history, self._stop = port, history, stop
        self._client = Client(port, history, stop)
        self._nap = 1.5 * kept

    def do(self, operation: Operation, rng: random.Random) -> None:
        """Send until all is acknowledged, or as long as the operation's manner is."""
        if self._stop.wait(operation.start):
            return
        for sending in operation.sendings:
            _Upload(self, operation, sending, rng).run()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, until: int | None = None,
        pause: float = 0.0, sent: list[int] | None = None,
    ) -> tuple[int, Mapping[str, str]]:  # fmt: skip
        """One request; it is cut off behind ``until`` bytes of the body. ``sent`` gets how many went out. Raises one
        of ``NOT_ANSWERED``."""
        if self._stop.is_set():
            raise GaveUp
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=8)
        try:
            connection.putrequest(method, path)
            common = {"Authorization": f"Bearer {TOKEN}", "Tus-Resumable": "1.0.0", "Content-Length": str(len(body))}
            for name, value in {**common, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders()
            end = len(body) if until is None else min(until, len(body))
            for start in range(0, end, CHUNK):
                if sent is not None:
                    sent.append(min(start + CHUNK, end))
                connection.send(body[start : min(start + CHUNK, end)])
                time.sleep(pause)
            if until is not None:
                raise ConnectionAbortedError("cut off on purpose")
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())
        finally:
            connection.close()

    def insist(self, method: str, path: str, headers: Mapping[str, str], key: str) -> tuple[int, Mapping[str, str]]:
        """The same until it is answered."""
        while not self._stop.is_set():
            try:
                status, found = self.ask(method, path, headers)
            except NOT_ANSWERED as error:
                self._history.write("info", method, key=key, error=repr(error))
            else:
                if status not in PASSING:
                    return status, found
                self._history.write("info", method, key=key, status=status)
            self._stop.wait(0.05)
        raise GaveUp

    def transfer_of(self, upload: str) -> str | None:
        """The id of the transfer that an upload belongs to."""
        while not self._stop.is_set():
            try:
                status, found = self._client.ask("GET", f"{UPLOADS}/{upload}")
            except NOT_ANSWERED:
                status, found = 503, {}
            if status == 200:
                return found["transfer"]  # type: ignore[no-any-return]
            self._stop.wait(0.05)
        raise GaveUp

    def sleep_long(self) -> None:
        """For longer than the gateway keeps a slot for a silent sender."""
        self.sleep(self._nap)

    def sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise GaveUp

    def note(self, what: str, key: str, **more: object) -> None:
        self._history.write("ok", what, key=key, **more)


class _Upload:
    """One upload on its way."""

    def __init__(self, sender: Sender, operation: Operation, sending: Sending, rng: random.Random) -> None:
        self._sender, self._operation, self._sending, self._rng = sender, operation, sending, rng
        self._deferred = sending.kind == "whole" and rng.random() < DEFERRED
        self._manner = operation.manner

    def run(self) -> None:
        self._create()
        try:
            if self._sending.kind != "final":
                self._deliver()
        except Gone:
            # Who leaves lets an upload expire that expires soon; a slow machine may bring that about before.
            if not (self._sending.ended or self._manner.promises or self._manner.leaves_at is not None):
                raise

    @property
    def _path(self) -> str:
        return f"{UPLOADS}/{self._sending.id}"

    # --- creation ------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        sending = self._sending
        headers = self._creation()
        status, found = (0, {}) if sending.kind == "final" or self._rng.random() < 0.6 else self._create_with(headers)
        if status != 201:
            status, found = self._sender.insist("POST", UPLOADS, headers, sending.key)
        if status != 201:
            raise AssertionError(f"{sending.key} was refused: {status} {found}")
        sending.id = found["Location"].rpartition("/")[2]
        self._told(status, found)
        if sending.kind != "partial":
            transfer = self._sender.transfer_of(sending.id)
            self._sender.note("submit", self._operation.key, transfer=transfer)

    def _create_with(self, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        """The first piece comes with the request, and perhaps nobody waits for its answer."""
        data, until = self._read(0, self._rng.randrange(300_000)), self._rng.choice([None, None, 0, 100_000])
        sent: list[int] = []
        try:
            return self._sender.ask("POST", UPLOADS, {**headers, "Content-Type": BYTES}, data, until=until, sent=sent)
        except NOT_ANSWERED:
            return 0, {}
        finally:
            self._sending.sent = max([self._sending.sent, *sent])

    def _creation(self) -> dict[str, str]:
        sending, operation = self._sending, self._operation
        headers = {"Idempotency-Key": sending.key}
        wishes = {"destination": operation.files[0][1], "overwrite": operation.overwrite, "label": operation.key}
        wishes |= {"digest": operation.manner.promises} if operation.manner.promises else {}
        if operation.not_before is not None:
            wishes["not_before"] = datetime.fromtimestamp(operation.not_before, UTC).isoformat()
        coded = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in wishes.items())
        if sending.kind == "final":
            parts = " ".join(f"{UPLOADS}/{part.id}" for part in operation.sendings if part.kind == "partial")
            return {**headers, "Upload-Concat": f"final;{parts}", "Upload-Metadata": coded}
        headers |= {"Upload-Defer-Length": "1"} if self._deferred else {"Upload-Length": str(sending.length)}
        return headers | ({"Upload-Concat": "partial"} if sending.kind == "partial" else {"Upload-Metadata": coded})

    # --- bytes ---------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        offset, said, slept = self._sending.told[-1][0], not self._deferred, False
        while True:
            if self._manner.leaves_at is not None and offset >= self._manner.leaves_at:
                return
            if self._manner.ends_at is not None and offset >= self._manner.ends_at:
                self._end()
                return
            if said and offset == self._sending.length:
                return
            if self._manner.sleeps_at is not None and offset >= self._manner.sleeps_at and not slept:
                slept = True
                self._sender.sleep_long()
            status, found = self._send_piece(offset)
            if status != 204:
                self._sender.note("no offset", self._sending.key, status=status)
                status, found = self._look()
                said = "Upload-Length" in found
            elif self._deferred:
                said = said or int(found["Upload-Offset"]) == self._sending.length  # the last piece says it
            offset = int(found["Upload-Offset"])
            self._sender.sleep(self._rng.uniform(0, self._manner.pause))

    def _send_piece(self, offset: int) -> tuple[int, Mapping[str, str]]:
        """A piece as it should be, or damaged on the way, or cut off, or one whose answer nobody waits for."""
        sending, chance = self._sending, self._rng.random()
        data = self._read(offset, self._rng.randrange(1, self._manner.largest_piece))
        headers = {"Content-Type": BYTES, "Upload-Offset": str(offset)}
        if self._deferred and offset + len(data) == sending.length:
            headers["Upload-Length"] = str(sending.length)
        damaged = chance < 0.06 and len(data) > 0
        if damaged or chance > 0.6 or self._manner.always_checked:
            headers["Upload-Checksum"] = _checksum(self._rng.choice(["sha1", "sha256", "crc32"]), data)
        body = bytes([data[0] ^ 1]) + data[1:] if damaged else data
        until = self._rng.choice([len(data), self._rng.randrange(len(data) + 1)]) if 0.06 <= chance < 0.2 else None
        sent: list[int] = []
        try:
            status, found = self._sender.ask("PATCH", self._path, headers, body, until=until, sent=sent,
                                             pause=self._rng.choice([0, 0, 0.004, 0.02]))  # fmt: skip
        except NOT_ANSWERED:
            return 0, {}
        finally:
            if not damaged:
                sending.sent = max([sending.sent, *(offset + count for count in sent)])
        self._told(status, found)
        if status == 204 and (damaged or int(found["Upload-Offset"]) != offset + len(data)):
            raise AssertionError(f"{sending.key}: a piece at {offset} of {len(data)} bytes, damaged: {damaged}, "
                                 f"was answered with the offset {found['Upload-Offset']}")  # fmt: skip
        return status, found

    def _look(self) -> tuple[int, Mapping[str, str]]:
        status, found = self._sender.insist("HEAD", self._path, {}, self._sending.key)
        if status == 410:
            raise Gone(f"{self._sending.key} is gone, though nobody has ended it")
        if status != 200:
            raise AssertionError(f"{self._sending.key}: HEAD was answered with {status}")
        self._told(status, found)
        return status, found

    def _end(self) -> None:
        """DELETE until it is acknowledged; a lost acknowledgement is found by asking again."""
        while True:
            status, _ = self._sender.insist("DELETE", self._path, {}, self._sending.key)
            if status != 409:  # it is being published
                break
            self._sender.sleep(0.1)
        if status not in (204, 410):
            raise AssertionError(f"{self._sending.key}: DELETE was answered with {status}")
        self._sending.ended = True
        self._sender.note("ended", self._sending.key, status=status)
        if status == 204:
            self._look()  # Gone, unless it was stored already

    def _told(self, status: int, found: Mapping[str, str]) -> None:
        sending = self._sending
        if "Upload-Expires" in found:
            sending.expires = max(sending.expires, parsedate_to_datetime(found["Upload-Expires"]).timestamp())
        if "Upload-Offset" in found:
            offset = int(found["Upload-Offset"])
            sending.told.append((offset, sending.sent))
            self._sender.note("told", sending.key, status=status, offset=offset, sent=sending.sent)

    def _read(self, offset: int, most: int) -> bytes:
        with open(self._sending.original, "rb") as file:
            file.seek(self._sending.start + offset)
            return file.read(min(most, self._sending.length - offset))


def _checksum(algorithm: str, data: bytes) -> str:
    digest = zlib.crc32(data).to_bytes(4, "big") if algorithm == "crc32" else hashlib.new(algorithm, data).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"
