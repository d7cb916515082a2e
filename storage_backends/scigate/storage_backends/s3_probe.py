"""What this S3 server can do, found out by trying when it is first needed: unknown counts as missing.

AWS itself is known and not asked. Each probe writes small objects under a random name and removes them.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .errors import AlreadyExists, DigestMismatch, Permanent
from .s3_control import ControlPlane, Part
from .s3_data import DataPlane
from .s3_options import PARTS_MAX

PROBE: Final = ".scigate-probe-"
CONTENT: Final = b"scigate"


class Features:
    """Answers that do not change while the storage is open. Thread-safe."""

    def __init__(self, data: DataPlane, control: ControlPlane, prefix: str, *, complete: bool) -> None:
        self._data, self._control, self._prefix = data, control, prefix
        self._known: dict[str, bool] = {"conditional": True, "leftovers": True} if complete else {}
        self._asking = threading.Lock()

    @property
    def conditional(self) -> bool:
        """Whether ``If-None-Match: *`` keeps a PUT from overwriting."""
        return self._answer("conditional", self._ask_conditional)

    @property
    def leftovers(self) -> bool:
        """Whether an upload can be completed without one of its parts, as S3 says."""
        return self._answer("leftovers", self._ask_leftovers)

    def _answer(self, name: str, ask: Callable[[], bool]) -> bool:
        with self._asking:
            if name not in self._known:
                self._known[name] = ask()
            return self._known[name]

    def _ask_conditional(self) -> bool:
        condition = {"if-none-match": "*"}
        with self._probe_key() as key:
            self._data.put(key, key, CONTENT, condition)
            try:
                self._data.put(key, key, CONTENT, condition)
            except AlreadyExists:
                return True
            return False

    def _ask_leftovers(self) -> bool:
        with self._probe_key() as key:
            upload, _ = self._control.create_upload(key, key, "probe")
            try:
                used, _ = [self._part(key, upload, number) for number in (1, PARTS_MAX)]
                self._control.complete(key, key, upload, [used], if_none_match=False, crc64nvme=None)
            except (Permanent, DigestMismatch):
                return False
            finally:
                self._control.abort(key, key, upload)
            return self._data.head(key, key).size == len(CONTENT)

    def _part(self, key: str, upload: str, number: int) -> Part:
        etag = self._data.upload_part(key, key, upload, number, body=CONTENT, length=len(CONTENT))
        return Part(number, len(CONTENT), etag)

    @contextmanager
    def _probe_key(self) -> Iterator[str]:
        key = f"{self._prefix}{PROBE}{secrets.token_hex(8)}"
        try:
            yield key
        finally:
            with suppress(Permanent):
                self._data.delete(key, key)
