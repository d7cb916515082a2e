"""A power cut: the gateway stops dead, and its file systems forget all that nobody has made them write."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.posix_calls import mount_number

from .case import Operation
from .ground import World
from .points import StopAt
from .process import PATIENCE, GatewayProcess, Nursery
from .run import Run

EXT4_IOC_SHUTDOWN: Final = 0x8004587D
WITHOUT_FLUSHING_THE_LOG: Final = struct.pack("I", 2)
SIZE: Final = 1 << 30  # bytes of a volume; the image of it is sparse
MEMORY: Final = Path("/dev/shm")  # where an image is, if it has room: the medium that survives may be as fast as it can
POINT_IN: Final = 15.0  # seconds in which a point has to be reached; else the power is cut wherever the gateway is
ANY_POINT_IN: Final = 2.5  # the same for the n-th point that is reached, whichever it is
SPLITS: Final = {"database": ("state",), "data": ("desk",), "both": ("state", "desk")}
"""Which folders of a world are on file systems whose power is cut. With any other word, none: then a cut is a kill."""


class CannotMount(Exception):
    """This machine does not let us have file systems of our own."""


class Volume:
    """An ext4 file system in a file."""

    def __init__(self, image: Path, mounted: Path) -> None:
        self._image, self._mounted = image, mounted

    def make(self) -> None:
        """Raises ``CannotMount``."""
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
            raise CannotMount("needs root and mkfs.ext4, to cut the power of a file system")
        self._mounted.mkdir(exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self._mounted)

    def sync(self) -> None:
        """What is there now is there for good."""
        _run("sync", "-f", self._mounted)

    def cut(self) -> None:
        """From now on nothing reaches the medium, and what is not there yet is lost."""
        handle = os.open(self._mounted, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, WITHOUT_FLUSHING_THE_LOG)
        finally:
            os.close(handle)

    def power_on(self) -> None:
        """Mount what is on the medium, when nobody holds the old file system any more."""
        end = time.monotonic() + PATIENCE
        while subprocess.run(["umount", self._mounted], check=False, capture_output=True).returncode:
            if time.monotonic() > end:
                raise TimeoutError(f"somebody still works in {self._mounted}")
            time.sleep(0.02)
        try:
            self.mount()
        except CannotMount as error:  # it could be mounted before: this is a finding, and no reason to skip
            raise RuntimeError(f"after a power cut: {error}") from None

    def remove(self) -> None:
        subprocess.run(["umount", "-l", self._mounted], check=False, capture_output=True)
        self._image.unlink(missing_ok=True)


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True)
    if done.returncode:
        raise CannotMount(f"needs a loop-mounted ext4: {done.stderr.decode().strip()}")


@contextmanager
def volumes(world: World, split: str) -> Iterator[list[Volume]]:
    """The folders of this split of ``world``, each on a file system of its own. Raises ``CannotMount``."""
    images = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * SIZE else world.folder
    made = [Volume(images / f"{world.folder.name}-{name}.ext4", world.folder / name) for name in SPLITS.get(split, ())]
    with ExitStack() as stack:
        for volume in made:
            stack.callback(volume.remove)
            volume.make()
        yield made


class PowerRun(Run):
    """A run in which every kill is a power cut; the last one comes when all is done."""

    def __init__(
        self, world: World, nursery: Nursery, seed: int, disks: Sequence[Volume], *, points: Sequence[str] = ("*",),
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(world, nursery, seed, **options)
        self._disks, self._points = disks, points

    def _kill_again_and_again(self, delays: Sequence[float]) -> None:
        for disk in self._disks:
            disk.sync()  # what the run is to find there
        for delay in delays:
            plan = self._plan()
            gateway = self._nursery.start(
                self._world.config, self._world.folder / "gateway.log", self._mutant, plan or ""
            )
            if plan is None:
                time.sleep(delay)
            else:
                _await_standstill(gateway, ANY_POINT_IN if plan.name == "*" else POINT_IN)
            if not gateway.runs():
                self.result.violations.append("I0 the gateway ended by itself")
            self._cut(gateway)
            self.history.write("info", "power cut", after=round(delay, 3), plan=str(plan))

    def _plan(self) -> StopAt | None:
        """Half of the cuts fall on a point, half of them anywhere."""
        if self._points == ("*",) and self._rng.random() < 0.5:
            return None
        name = self._rng.choice(self._points)
        return StopAt(name, self._rng.randrange(1, 150) if name == "*" else 1)

    def _cut(self, gateway: GatewayProcess | None) -> None:
        if gateway is not None:
            gateway.freeze()  # it cannot tell anybody anything after the cut
            _await_standstill(gateway, PATIENCE)  # its threads hear of it one after the other
        with self._watcher.pause:
            for disk in self._disks:
                disk.cut()
            if gateway is not None:
                gateway.kill()
            for disk in self._disks:
                disk.power_on()
            self._begin_another_boot()
        self.result.kills += 1

    def _begin_another_boot(self) -> None:
        """The machine goes on running; where Linux numbers its mounts (6.8) the gateway sees what has happened."""
        if mount_number(str(self._world.state.parent)) is None and (self._world.state / "boot-id").exists():
            (self._world.state / "boot-id").write_text("another boot")

    def _settle(self, gateways: list[GatewayProcess], clients: list[Future[None]], operations: list[Operation]) -> None:
        super()._settle(gateways, clients, operations)
        self._cut(None)


def _await_standstill(gateway: GatewayProcess, patience: float) -> None:
    end = time.monotonic() + patience
    while not gateway.stands_still() and gateway.runs() and time.monotonic() < end:
        time.sleep(0.005)
