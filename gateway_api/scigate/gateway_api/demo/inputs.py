"""What the demo moves: scientific data files out of installed packages, and two large files made here."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import tornado.netutil
import tornado.web
from scigate.storage_backends.backend import MiB
from tornado.httpserver import HTTPServer

SOURCES: Final = {
    "skyfield_data": ("data", "planetary ephemeris DE421 of JPL, rotation of the Earth by the IERS"),
    "pydicom": ("data/test_files", "medical images in DICOM"),
}
"""Package → folder with its data files, and what they are."""


class InputMissing(Exception):
    """A package with data files is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The folders with the input of the demo, and the large files."""

    observatory: Path  # served over HTTP
    images: Path  # inside the POSIX storage
    large: Path  # on "the user's machine"
    unlucky: Path  # there as well; its upload is cut


def data_folder(package: str) -> Path:
    """Where a package keeps its data files."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputMissing(f"the data files of {package!r} are not installed; get them with: pip install scigate[demo]")
    return Path(spec.origin).parent / SOURCES[package][0]


def prepare(folder: Path, lab: Path, size: int, written: Callable[[int], None]) -> Inputs:
    """Copy the data files of the packages below ``folder`` and ``lab`` and make the large files there: one of
    ``size`` bytes, one of a quarter of that; ``written`` hears of every byte."""
    observatory, images = copy_data(folder, lab)
    large = folder / "detector.raw"
    make_large(large, size, written)
    unlucky = folder / "telescope.raw"
    make_large(unlucky, size // 4, written)
    return Inputs(observatory, images, large, unlucky)


def copy_data(folder: Path, lab: Path) -> tuple[Path, Path]:
    """Copy the data files of the packages: the folder that is to be served over HTTP, and the one in the storage."""
    observatory, images = folder / "observatory", lab / "images"
    shutil.copytree(data_folder("skyfield_data"), observatory, ignore=_not_data)
    shutil.copytree(data_folder("pydicom"), images, ignore=_not_data)
    return observatory, images


def _not_data(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith((".py", ".pyc")) or name == "__pycache__"}


def make_large(path: Path, size: int, written: Callable[[int], None]) -> None:
    """Write ``size`` pseudo-random bytes, the same each time: nothing that compresses, nothing that repeats."""
    generator = random.Random(size)  # noqa: S311 data to move, not a secret
    with path.open("wb") as file:
        for start in range(0, size, 4 * MiB):
            data = generator.randbytes(min(4 * MiB, size - start))
            file.write(data)
            written(len(data))


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """A real HTTP server for the files of ``folder``, with ranges and ETags; yields its address."""
    started: threading.Event = threading.Event()
    server = _Server(folder, started)
    thread = threading.Thread(target=server.run, name="demo-http", daemon=True)
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join()


class _Server:
    """tornado's file server on an event loop of its own."""

    def __init__(self, folder: Path, started: threading.Event) -> None:
        self._folder, self._started = folder, started
        self.port = 0

    def run(self) -> None:
        asyncio.run(self._serve())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        files = tornado.web.Application(
            [("/(.*)", tornado.web.StaticFileHandler, {"path": str(self._folder)})], log_function=lambda handler: None
        )
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server = HTTPServer(files)
        server.add_sockets(sockets)
        self._started.set()
        await self._ended.wait()
        server.stop()
