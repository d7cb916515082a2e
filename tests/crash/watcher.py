"""A reader that looks at the destinations all the time: it must never see anything but whole objects (I4).

What is there is the old content or the new one, and what was there never goes away (I6).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Final

from .case import Bucket, Content, Operation, Piece
from .checker import content_of

PAUSE: Final = 0.02  # between two looks at the folders
S3_PAUSE: Final = 0.4  # between two listings of the bucket
READ_MOST: Final = 12  # objects read after one listing


class Watcher:
    """Threads that look until stopped; ``seen`` are the violations."""

    def __init__(self, bucket: Bucket, operations: list[Operation]) -> None:
        pieces = [piece for operation in operations for piece in operation.pieces]
        self._files = {piece.place: piece for piece in pieces if not piece.is_object}
        self._objects = {piece.place: piece for piece in pieces if piece.is_object}
        self._bucket = bucket
        self._known: dict[str, tuple[object, ...]] = {}
        self._stop = threading.Event()
        self.seen: set[str] = set()
        self.looks = 0
        self.pause = threading.Lock()
        """Held while the folders are out of reach, and during each look at them."""
        self._threads = [threading.Thread(target=look) for look in (self._watch_files, self._watch_objects)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _watch_files(self) -> None:
        while not self._stop.wait(PAUSE):
            for place, piece in self._files.items():
                with self.pause:
                    self._look_at_file(place, piece)

    def _look_at_file(self, place: str, piece: Piece) -> None:
        try:
            found = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            self._judge_absent(piece)
            return
        if self._is_news(place, (found.st_ino, found.st_size, found.st_mtime_ns)):
            with contextlib.suppress(FileNotFoundError), Path(place).open("rb") as file:
                self._judge(piece, content_of(iter(lambda: file.read(1 << 20), b"")))

    def _watch_objects(self) -> None:
        client = self._bucket.client()
        while not self._stop.wait(S3_PAUSE):
            begun, there, read = time.monotonic(), {}, 0
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.bucket, Prefix=self._bucket.prefix
            )
            for page in pages:
                there |= {item["Key"]: (item["ETag"], item["Size"]) for item in page.get("Contents", ())}
            for place, piece in self._objects.items():
                if place not in there:
                    self._judge_absent(piece)
                elif self._is_news(place, there[place]):
                    self._judge_size(piece, there[place][1])
                    if read < READ_MOST and self._stop.wait(0) is False:
                        read += 1
                        body = client.get_object(Bucket=self._bucket.bucket, Key=place)["Body"]
                        self._judge(piece, content_of(body.iter_chunks(1 << 20)))
            self._stop.wait((time.monotonic() - begun) * 2)  # two cores are for the others as well

    def _is_news(self, place: str, version: tuple[object, ...]) -> bool:
        news = self._known.get(place) != version
        self._known[place] = version
        return news

    def _judge(self, piece: Piece, there: Content) -> None:
        self.looks += 1
        if there not in (*piece.fresh, piece.old):
            self.seen.add(f"I4 a reader of {piece.storage}:/{piece.path} saw {there.size} bytes that are neither "
                          f"the old nor the new content")  # fmt: skip

    def _judge_size(self, piece: Piece, size: int) -> None:
        if size not in {content.size for content in (piece.new, piece.old) if content}:
            self.seen.add(f"I4 a listing shows {piece.storage}:/{piece.path} with {size} bytes")

    def _judge_absent(self, piece: Piece) -> None:
        if piece.old is not None:
            self.seen.add(f"I6 a reader did not find {piece.storage}:/{piece.path}, which was there before")
