"""Secrets as values that cannot be printed by accident."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

HIDDEN: Final = "***"


class Secret:
    """A string that shows nothing when printed, formatted, logged, dumped or compared in an error.

    In settings it is written ``{ env = "NAME" }`` or ``{ file = "path" }``; the secret itself never stands there.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; call it only where it is handed to the client that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is never pickled: pass a handle to it instead")

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._from_settings, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def _from_settings(cls, value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, dict) and list(value) == ["env"]:
            return cls._from_environment(str(value["env"]))
        if isinstance(value, dict) and list(value) == ["file"]:
            return cls._from_file(Path(str(value["file"])).expanduser())
        raise ValueError('a secret is written { env = "NAME" } or { file = "path" }, never in the settings themselves')

    @classmethod
    def _from_environment(cls, name: str) -> Secret:
        value = os.environ.get(name)
        if not value:
            raise ValueError(f"the environment variable {name} is not set: export it before starting SciGate")
        return cls(value)

    @classmethod
    def _from_file(cls, path: Path) -> Secret:
        try:
            value = path.read_text().strip()
        except OSError as error:
            raise ValueError(f"the secret file {path} cannot be read: {error.strerror}") from None
        if not value:
            raise ValueError(f"the secret file {path} is empty")
        return cls(value)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An S3 access key: the id may be shown, the secret may not."""

    id: str
    secret: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class BearerToken:
    """An OAuth 2.0 bearer token (RFC 6750)."""

    token: Secret
