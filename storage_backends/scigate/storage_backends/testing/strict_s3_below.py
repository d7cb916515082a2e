"""The way from the strict layer to the server below it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..credential import AccessKey, Secret
from ..s3_sign import Signer
from .servers import S3Server
from .strict_s3_signature import canonical_path, canonical_query

ANSWER_TIME = 120.0  # seconds


class Below:
    """One persistent connection, for one thread."""

    def __init__(self, server: S3Server) -> None:
        self._host = urlsplit(server.endpoint).netloc
        self._signer = Signer(AccessKey(server.access_key, Secret(server.secret_key)), server.region)
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str], body: bytes = b""
    ) -> http.client.HTTPResponse:
        """Its answer, whose body has still to be read. A link's signature is taken off."""
        path, query = canonical_path(raw_path), _without_signature(raw_query)
        signed = {name: value for name, value in headers.items() if name.startswith("x-amz-")}
        proven = {**headers, **self._signer.sign(method, path, query, {"host": self._host, **signed})}
        target = f"{path}?{query}" if query else path
        while True:
            reused, connection = self._connection is not None, self._open()
            try:
                connection.request(method, target, body or None, proven)
                return connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if not reused:
                    raise

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=ANSWER_TIME)
        return self._connection


def _without_signature(raw_query: str) -> str:
    pairs = (pair for pair in raw_query.split("&") if not pair.startswith("X-Amz-"))
    return canonical_query("&".join(pairs))
