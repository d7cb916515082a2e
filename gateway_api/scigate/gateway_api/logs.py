"""Logging: one line of JSON for each record, and no secret in any of them."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_HIDDEN: Final = "***"
_SECRETS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"(?i)\b((?:[a-z0-9_-]*(?:token|secret|password|passwd|signature|credential|secret_key|api_key))\"?'?\s*[=:]\s*\"?'?)"
                r"(?!bearer\b|basic\b|[*{])[^\s\"'&,;})]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), _HIDDEN),
    (re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(?:-----END [^-]*PRIVATE KEY-----|\Z)", re.DOTALL), _HIDDEN),
)  # fmt: skip
_HINTS: Final = (
    "bearer",
    "basic",
    "token",
    "secret",
    "passw",
    "signature",
    "credential",
    "api_key",
    "://",
    "-----begin",
)
"""One of them is in every text of ASCII that a pattern above matches: most texts need not be searched for patterns."""
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def redact(text: str) -> str:
    """``text`` without what looks like a token, password, signature or key."""
    lower = text.lower()
    if text.isascii():
        for hint in _HINTS:
            if hint in lower:
                break
        else:
            return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """A record as one line of JSON, redacted as a whole, so that tracebacks and extra fields are too."""

    def format(self, record: logging.LogRecord) -> str:
        its = vars(record)
        extra = {key: its[key] for key in its if key not in _OWN and its[key] is not None}
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **{key: redact(str(value)) for key, value in extra.items()},
        }
        if record.exc_info:
            fields["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(fields)


class Lines(logging.Formatter):
    """The same for a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is when a record comes: it may be replaced while the process runs."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass  # the base class sets what it finds at the start


def configure(level: int = logging.INFO) -> None:
    """Log to standard error: for people on a terminal, as JSON lines otherwise."""
    handler = StandardError()
    handler.setFormatter(Lines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What no line shows need not be found out (Python, "Logging HOWTO", Optimization); where it comes from is asked for
    # by the filter of auth.hub.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in ("tornado.access", "httpx", "botocore", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
