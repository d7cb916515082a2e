"""Where the files come from and go to: folders and buckets, as SciGate, rclone and an independent witness see them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scigate.gateway_api.demo import witness
from scigate.storage_backends.testing.servers import S3Server

from .cases import DATA

Value = str | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Remote:
    """How rclone reaches a place: what to write before a path, and the variables that configure it."""

    prefix: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


class Place(Protocol):
    """A folder or bucket, empty when it is made; ``prefix`` is where in it the data folder is."""

    is_local: bool

    @property
    def prefix(self) -> str: ...

    def storage(self, name: str) -> tuple[Mapping[str, Value], Mapping[str, str]]:
        """The keys of a storage in ``scigate.toml``, and the variables with its secrets."""
        ...

    def remote(self, name: str) -> Remote: ...

    def prime(self) -> None:
        """Write and remove one file, so that nobody's clock runs while the server makes room for a new bucket."""
        ...

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file below the data folder, read without any code of SciGate or rclone."""
        ...

    def flush(self) -> None:
        """Make what was written durable, as far as that is in the hands of who wrote it."""
        ...

    def evict(self) -> None:
        """Drop what the page cache holds of the files. Names and sizes stay cached."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine."""

    path: Path
    is_local = True
    prefix = ""

    def storage(self, name: str) -> tuple[Mapping[str, Value], Mapping[str, str]]:
        return {"type": "posix", "root": str(self.path)}, {}

    def remote(self, name: str) -> Remote:
        return Remote(f"{self.path}/")

    def prime(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def digests(self) -> dict[str, str]:
        return witness.in_folder(self.path / DATA)

    def flush(self) -> None:
        subprocess.run(["sync", "-f", str(self.path)], check=True)  # syncfs(2): cheaper than fsync of every file

    def evict(self) -> None:
        evict(self.path)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of an S3 server; ``folder`` is where the server keeps its data."""

    server: S3Server
    name: str
    folder: Path
    prefix: str = ""
    is_local = False

    def storage(self, name: str) -> tuple[Mapping[str, Value], Mapping[str, str]]:
        variable = f"BENCH_SECRET_{name.upper()}"
        server = self.server
        keys: dict[str, Value] = {
            "type": "s3",
            "endpoint": server.endpoint,
            "bucket": self.name,
            "region": server.region,
            "access_key": server.access_key,
            "secret_key": {"env": variable},
        }
        if server.ca_file:
            keys["ca_file"] = str(server.ca_file)
        return keys, {variable: server.secret_key}

    def remote(self, name: str) -> Remote:
        values = {
            "TYPE": "s3",
            "PROVIDER": "SeaweedFS",
            "ENDPOINT": self.server.endpoint,
            "REGION": self.server.region,
            "ACCESS_KEY_ID": self.server.access_key,
            "SECRET_ACCESS_KEY": self.server.secret_key,
            "FORCE_PATH_STYLE": "true",
        }
        variables = {f"RCLONE_CONFIG_{name.upper()}_{key}": value for key, value in values.items()}
        if self.server.ca_file:
            variables["RCLONE_CA_CERT"] = str(self.server.ca_file)
        return Remote(f"{name}:{self.name}/{self.prefix}", variables)

    def prime(self) -> None:
        if self.prefix:
            return  # its bucket has been written to
        with _client(self.server) as client:
            client.create_bucket(Bucket=self.name)
            for number in range(8):  # SeaweedFS spreads a bucket over several volumes, made when first written to
                client.put_object(Bucket=self.name, Key=f"prime/{number}", Body=b"x" * 4096)
            for number in range(8):
                client.delete_object(Bucket=self.name, Key=f"prime/{number}")

    def put(self, key: str, data: bytes) -> None:
        with _client(self.server) as client:
            client.put_object(Bucket=self.name, Key=key, Body=data)

    def digests(self) -> dict[str, str]:
        with _client(self.server) as client:
            return witness.in_bucket(client, self.name, f"{self.prefix}{DATA}/")

    def drop(self) -> None:
        """Remove the bucket, or what is below the prefix; of a bucket SeaweedFS gives the disk space back at once."""
        with _client(self.server) as client:
            if not self.prefix:
                client.delete_bucket(Bucket=self.name)
                return
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
            for page in pages:
                if keys := [{"Key": entry["Key"]} for entry in page.get("Contents", [])]:
                    client.delete_objects(Bucket=self.name, Delete={"Objects": keys})

    def flush(self) -> None:
        """Nothing: only the server can make an object durable, and it does the same for everybody."""

    def evict(self) -> None:
        evict(self.folder)


def evict(folder: Path) -> None:
    """Drop the clean pages of all files below ``folder`` from the page cache; needs no privilege."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


@contextmanager
def _client(server: S3Server) -> Iterator[Any]:
    client = server.client()
    try:
        yield client
    finally:
        client.close()
