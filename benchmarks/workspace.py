"""The folders and servers of a run: what they hold is made here, and removed when it is no longer needed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.testing.servers import S3Server, seaweedfs

from .cases import INSIDE, LOCAL, S3, BenchmarkFailed, Case, Load, make_files, write_random
from .peers import WARM_UP, Job, Peer
from .places import Bucket, Folder, Place

MEMORY: Final = Path("/dev/shm")
SPARE: Final = 1 << 30  # bytes that must stay free


@dataclass(frozen=True, slots=True)
class Media:
    """Where local files and the S3 servers' data are kept: folders on a disk or in memory."""

    disk: Path
    local: Path
    s3: Path
    tls: bool = False

    def describe(self) -> dict[str, str]:
        """In words, without any path."""
        return {
            "local": "disk" if self.local == self.disk else "memory",
            "s3": "disk" if self.s3 == self.disk else "memory",
            "s3_protocol": "https" if self.tls else "http",
        }


@dataclass(slots=True)
class Sources:
    """The files of each load, made once, and what their digests are."""

    folder: Path
    digests: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, load: Load) -> Folder:
        place = Folder(self.folder / load.name)
        if load.name not in self.digests:
            make_files(load, place.path)
            for name, size in WARM_UP.items():
                write_random(place.path / name, size)
            self.digests[load.name] = place.digests()
        return place


class Stage:
    """One case: a filled source, and a new, empty destination for each run."""

    def __init__(self, case: Case, media: Media, servers: dict[str, S3Server], source: Place) -> None:
        self._case, self._media, self._servers = case, media, servers
        self._source = source
        self._runs = 0

    @contextmanager
    def job(self) -> Iterator[Job]:
        """The next run. A folder stays until the case ends: ext4 is slow on inodes that were just freed."""
        self._runs += 1
        folder = self._media.disk / "run"
        folder.mkdir()
        destination = self._destination(f"run-{self._runs}")
        try:
            destination.prime()
            yield Job(self._case, self._source, destination, folder)
        finally:
            if isinstance(destination, Bucket):
                destination.drop()
            shutil.rmtree(folder)

    def _destination(self, name: str) -> Place:
        if self._case.destination == LOCAL:
            return Folder(self._media.local / "destination" / name)
        if self._case.destination == INSIDE:
            assert isinstance(self._source, Bucket)
            return replace(self._source, prefix=f"{name}/")
        return Bucket(self._servers["destination"], name, self._media.s3 / "destination-server")


@contextmanager
def stage(case: Case, media: Media, sources: Sources, seeder: Peer, runs: int) -> Iterator[Stage]:
    """Everything a case needs: servers, the source, room. All of it is gone afterwards, but for the local source."""
    require_space(case, media, runs)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, media.local / "destination", ignore_errors=True)
        servers: dict[str, S3Server] = {}
        authority = stack.enter_context(_authority(media.disk / "authority")) if media.tls else None
        for role, kind in (("source", case.source), ("destination", case.destination)):
            if kind == S3:
                servers[role] = stack.enter_context(_server(media.s3 / f"{role}-server", authority))
        local = sources.of(case.load)
        yield Stage(case, media, servers, _filled(case, media, servers, local, seeder))


def _filled(case: Case, media: Media, servers: dict[str, S3Server], local: Folder, seeder: Peer) -> Place:
    if case.source == LOCAL:
        return local
    bucket = Bucket(servers["source"], "source", media.s3 / "source-server")
    bucket.prime()
    folder = media.disk / "seed"
    folder.mkdir()
    seeder.run(Job(case, local, bucket, folder))
    shutil.rmtree(folder)
    for name in WARM_UP:
        bucket.put(name, (local.path / name).read_bytes())
    return bucket


@contextmanager
def _authority(folder: Path) -> Iterator[Authority]:
    """One for all servers: rclone takes no other for a second storage."""
    folder.mkdir()
    try:
        yield Authority(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(folder: Path, authority: Authority | None) -> Iterator[S3Server]:
    """SeaweedFS; source and destination are two servers, so nobody can have a server copy by itself."""
    folder.mkdir()
    try:
        tls = (authority.issue("127.0.0.1"), authority.ca_file) if authority else (None, None)
        with seaweedfs(folder, certificate=tls[0], ca_file=tls[1]) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_space(case: Case, media: Media, runs: int) -> None:
    """Say what is missing before anything is written: a full disk would end the run in its middle."""
    for folder, needed in needs(case, media, runs).items():
        if (free := shutil.disk_usage(folder).free) < needed:
            raise BenchmarkFailed(
                f"{case.name} needs {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
                "choose another medium with --local-on or --s3-on, smaller loads, or fewer --rounds"
            )


def needs(case: Case, media: Media, runs: int) -> dict[Path, int]:
    """Bytes that a case needs in each folder."""
    copies: Counter[Path] = Counter({media.local: 1})  # where the source is made
    copies[media.s3] += case.source == S3
    copies[media.local] += runs * (case.destination == LOCAL)
    copies[media.s3] += 2 * (case.destination == S3)  # a removed bucket's space may come back a moment later
    copies[media.s3] += runs * (case.destination == INSIDE)  # that of removed objects does not
    return {folder: SPARE + count * case.load.bytes for folder, count in copies.items() if count}
