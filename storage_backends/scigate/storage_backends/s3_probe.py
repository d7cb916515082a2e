"""What this S3 server can do, found out by trying when it is first needed: unknown counts as missing.

AWS itself is known and not asked. Each probe writes a small object under a hidden name and removes it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .errors import AlreadyExists, DigestMismatch, NotFound, Permanent, Unreachable
from .s3_control import ControlPlane, Part
from .s3_data import DataPlane, exists, md5_of
from .s3_options import PARTS_MAX

PROBE: Final = ".scigate-probe-"
CONTENT: Final = b"scigate"
WRONG: Final = "0" * 16
TRIES: Final = 3
UNCLEAR: Final = 5
"""Unclear answers in a row, after which they are the answer: disturbances do not last."""


class Features:
    """Answers that do not change while the storage is open; only clear ones are remembered. Thread-safe."""

    def __init__(self, data: DataPlane, control: ControlPlane, prefix: str, *, complete: bool) -> None:
        self._data, self._control, self._prefix = data, control, prefix
        self._known: dict[str, bool] = {"conditional": True, "leftovers": True, "lenient": False} if complete else {}
        self._unclear: Counter[str] = Counter()
        self._asking = threading.Lock()

    @property
    def conditional(self) -> bool:
        """Whether ``If-None-Match: *`` keeps a PUT from overwriting."""
        return self._answer("conditional", self._ask_conditional)

    @property
    def conditional_copy(self) -> bool:
        """The same for a copy inside the storage. AWS can since 2025, those that are like it perhaps not."""
        return self._answer("conditional copy", self._ask_conditional_copy)

    @property
    def leftovers(self) -> bool:
        """Whether an upload can be completed without one of its parts, as S3 says."""
        return self._answer("leftovers", self._ask_leftovers)

    @property
    def lenient(self) -> bool:
        """Whether an upload with a wrong checksum is completed, and the ETags of its parts (their MD5) tell."""
        return self._answer("lenient", self._ask_lenient)

    def _answer(self, name: str, ask: Callable[[], bool | None]) -> bool:
        with self._asking:
            if name not in self._known:
                answer = ask()
                self._unclear[name] += answer is None
                if answer is None and self._unclear[name] < UNCLEAR:
                    return False
                self._known[name] = bool(answer)
            return self._known[name]

    def _ask_conditional(self) -> bool:
        with self._probe_key("conditional") as key:
            try:
                for _ in range(TRIES):  # a gateway that asks at the same time may remove it between two of them
                    self._data.put(key, key, CONTENT, {"if-none-match": "*"})
            except AlreadyExists:
                return True
            return False

    def _ask_conditional_copy(self) -> bool | None:
        with self._probe_key("copied") as key, self._probe_key("copy") as to:
            try:
                return self._refuses_to_copy_over(key, to)
            except (Permanent, Unreachable):  # there is another way: nobody has to wait until it can be told
                return None

    def _refuses_to_copy_over(self, key: str, to: str) -> bool:
        self._data.put(key, key, CONTENT, {})
        found = self._data.head(key, key)
        self._data.copy(found, to, to, {})  # so that what is refused below is not for the source's ETag
        try:
            for _ in range(TRIES):  # as above
                self._data.copy(found, to, to, {"if-none-match": "*"})
        except AlreadyExists:
            return True
        return False

    def _ask_leftovers(self) -> bool | None:
        """Whoever sets a death right asks this, so what the rarer probe left of it is removed here as well."""
        self._clear(f"{self._prefix}{PROBE}lenient")
        with self._probe_key("leftovers") as key:
            return self._undisturbed(key, self._completes_without_a_part)

    def _undisturbed(self, key: str, completes: Callable[[str], bool]) -> bool | None:
        """Whether it ``completes`` what was begun; None if that cannot be told."""
        for _ in range(TRIES):
            try:
                return completes(key)
            except NotFound:  # it was completed and the answer got lost, or another gateway has cleared it away
                if (made := exists(self._data, key, key)) is not None:
                    return made.size == len(CONTENT)
        return None

    def _completes_without_a_part(self, key: str) -> bool:
        upload, _ = self._begun(key)
        try:
            used, _ = [self._part(key, upload, number) for number in (1, PARTS_MAX)]
            self._control.complete(key, key, upload, [used], if_none_match=False, crc64nvme=None)
        except NotFound:
            raise
        except (Permanent, DigestMismatch):
            return False
        finally:
            self._control.abort(key, key, upload)
        return self._data.head(key, key).size == len(CONTENT)

    def _ask_lenient(self) -> bool | None:
        with self._probe_key("lenient") as key:
            return self._undisturbed(key, self._completes_a_wrong_one)

    def _completes_a_wrong_one(self, key: str) -> bool:
        upload, checked = self._begun(key)
        try:
            if (part := self._part(key, upload, 1)).etag != md5_of(CONTENT):
                part = self._part(key, upload, 1)  # it may have been damaged on its way
            if part.etag != md5_of(CONTENT):  # encrypted: there is nothing to compare with
                return False
            if checked:
                self._control.complete(key, key, upload, [part], if_none_match=False, crc64nvme=WRONG)
        except NotFound:
            raise
        except DigestMismatch:
            return False
        except Permanent:
            return True
        finally:
            self._control.abort(key, key, upload)
        return True

    def _begun(self, key: str) -> tuple[str, bool]:
        """A new upload, and no other: a gateway that died while it asked may have left one, or an answer got lost."""
        self._clear(key)
        return self._control.create_upload(key, key, "probe")

    def _clear(self, key: str) -> None:
        for left, _ in list(self._control.uploads(key, key)):
            self._control.abort(key, key, left)

    def _part(self, key: str, upload: str, number: int) -> Part:
        etag = self._data.upload_part(key, key, upload, number, body=CONTENT, length=len(CONTENT))
        return Part(number, len(CONTENT), etag)

    @contextmanager
    def _probe_key(self, what: str) -> Iterator[str]:
        """Always the same name: what a gateway left there when it died is removed by the next one that asks."""
        key = f"{self._prefix}{PROBE}{what}"
        try:
            yield key
        finally:
            with suppress(Permanent):
                self._data.delete(key, key)
