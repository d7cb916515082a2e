"""What an S3 error code or status means to us.

Messages of the server are never passed on: some repeat what was signed. Its code and status are enough.
Source: "Amazon S3 API Reference, Error responses", and the codes that other servers add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .dates import http_date
from .errors import (
    AccessDenied,
    AlreadyExists,
    CredentialRefused,
    DigestMismatch,
    InvalidName,
    Misconfigured,
    NoSpace,
    NotFound,
    StorageError,
    Throttled,
    TooLarge,
    Truncated,
    Unreachable,
    Unsupported,
)

RETRY_AFTER_MAX: Final = timedelta(hours=1)

_THROTTLED: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)
_TRANSIENT: Final = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "OperationAborted", "ConditionalRequestConflict"}
)
_BY_CODE: Final[Mapping[str, tuple[type[StorageError], str]]] = {
    "NoSuchKey": (NotFound, "there is nothing here"),
    "NoSuchUpload": (NotFound, "this upload does not exist any more"),
    "NoSuchBucket": (Misconfigured, "the bucket does not exist"),
    "InvalidBucketName": (Misconfigured, "the bucket's name is not valid"),
    "PermanentRedirect": (Misconfigured, "the bucket is in another region or behind another endpoint"),
    "AuthorizationHeaderMalformed": (Misconfigured, "the bucket is in another region than 'region' says"),
    "IllegalLocationConstraintException": (Misconfigured, "the bucket is in another region than 'region' says"),
    "PreconditionFailed": (AlreadyExists, "something is here already"),
    "AccessDenied": (AccessDenied, "the access key may not do this"),
    "AllAccessDisabled": (AccessDenied, "all access to this bucket is disabled"),
    "AccountProblem": (AccessDenied, "the account has a problem"),
    "InvalidObjectState": (AccessDenied, "the object is archived and must be restored first"),
    "InvalidAccessKeyId": (CredentialRefused, "the access key is not known"),
    "SignatureDoesNotMatch": (CredentialRefused, "the secret key does not belong to the access key"),
    "ExpiredToken": (CredentialRefused, "the session token has expired"),
    "TokenRefreshRequired": (CredentialRefused, "the session token must be renewed"),
    "InvalidToken": (CredentialRefused, "the session token is not valid"),
    "InvalidSecurity": (CredentialRefused, "the credential is not valid"),
    "EntityTooLarge": (TooLarge, "it is larger than this storage takes"),
    "EntityTooSmall": (Misconfigured, "a block is smaller than this storage takes"),
    "QuotaExceeded": (NoSpace, "the quota is reached"),
    "XMinioAdminBucketQuotaExceeded": (NoSpace, "the quota of the bucket is reached"),
    "XMinioStorageFull": (NoSpace, "the storage is full"),
    "InsufficientStorage": (NoSpace, "the storage is full"),
    "BadDigest": (DigestMismatch, "what arrived has another checksum than what was sent"),
    "XAmzContentChecksumMismatch": (DigestMismatch, "what arrived has another checksum than what was sent"),
    "InvalidDigest": (DigestMismatch, "the checksum is not valid"),
    "XAmzContentSHA256Mismatch": (DigestMismatch, "what arrived has another checksum than what was sent"),
    "InvalidPart": (DigestMismatch, "a block is missing or is not the one that was written"),
    "InvalidPartOrder": (DigestMismatch, "the blocks are not in order"),
    "IncompleteBody": (Truncated, "fewer bytes arrived than were promised"),
    "InvalidRange": (Truncated, "the range is beyond the end"),
    "KeyTooLongError": (InvalidName, "the name is longer than 1024 bytes"),
    "InvalidObjectName": (InvalidName, "the server does not take this name"),
    "XMinioInvalidObjectName": (InvalidName, "the server does not take this name"),
    "NotImplemented": (Unsupported, "the server cannot do this"),
    "MethodNotAllowed": (Unsupported, "the server does not allow this"),
}
_BY_STATUS: Final[Mapping[int, str]] = {
    301: "PermanentRedirect",
    307: "PermanentRedirect",
    308: "PermanentRedirect",
    401: "InvalidSecurity",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    501: "NotImplemented",
    507: "InsufficientStorage",
}


def error_of(status: int, code: str, headers: Mapping[str, str], path: str | None) -> StorageError:
    """The error that a refused request is. ``code`` may be empty: then the status decides.

    ``headers`` have lower-case names. The cause of the error is a ``Refusal``.
    """
    error = _error(status, code, headers, path)
    error.__cause__ = Refusal(status, code)
    return error


def _error(status: int, code: str, headers: Mapping[str, str], path: str | None) -> StorageError:
    if code in _THROTTLED or status == 429 or (status == 503 and code in {"", "ServiceUnavailable"}):
        text = f"the storage asks for fewer requests ({_seen(status, code)})"
        return Throttled(text, path=path, retry_after=retry_after(headers.get("retry-after"), datetime.now(UTC)))
    if code == "RequestTimeTooSkewed":
        return Unreachable("the clocks differ too much for a signed request", path=path, next_step=_CLOCK)
    known = _BY_CODE.get(code) or _BY_CODE.get(_BY_STATUS.get(status, "") if code not in _TRANSIENT else "")
    if known is None:
        return _unknown(status, code, path)
    kind, text = known
    return kind(f"{text} ({_seen(status, code)})", path=path)


@contextmanager
def refused_before_it_began(*, sent_once: bool) -> Iterator[None]:
    """Of what was ``sent_once`` a refusal for its rate leaves nothing behind. (A bare 503 may come from something in
    between, which knows nothing about it.)"""
    try:
        yield
    except Throttled as error:
        error.untouched = sent_once and (code_of(error) in _THROTTLED or status_of(error) == 429)
        raise


_CLOCK: Final = "Set the clock of this machine (NTP); it is tried again by itself."


def _unknown(status: int, code: str, path: str | None) -> StorageError:
    if code in _TRANSIENT or status >= 500 or status < 400 or status in {408, 409}:
        return Unreachable(f"the storage failed inside ({_seen(status, code)})", path=path)
    return Unsupported(f"the storage refused the request ({_seen(status, code)})", path=path)


def _seen(status: int, code: str) -> str:
    safe = code if code.isalnum() and len(code) < 64 else ""
    return f"{status} {safe}".strip()


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """``Retry-After`` in seconds or as a date (RFC 9110 section 10.2.3); at most an hour, absurd ones are ignored."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        wish = timedelta(seconds=int(value)) if len(value) < 10 else RETRY_AFTER_MAX
    else:
        when = http_date(value)
        if when is None:
            return None
        wish = when - now
    return min(wish, RETRY_AFTER_MAX) if wish > timedelta(0) else None


def translated(call: Callable[..., Any], path: str | None, **arguments: Any) -> Any:
    """Call a boto3 operation; its errors become ours."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        return call(**arguments)
    except ClientError as error:
        ours = _of_client_error(error, path)
        raise ours from ours.__cause__
    except (HTTPClientError, ConnectionError) as error:
        raise Unreachable(f"the storage did not answer ({type(error).__name__})", path=path) from None
    except BotoCoreError as error:
        raise Misconfigured(f"the request cannot be made ({type(error).__name__})", path=path) from None


def _of_client_error(error: Any, path: str | None) -> StorageError:
    about = error.response.get("ResponseMetadata", {})
    code = str(error.response.get("Error", {}).get("Code", ""))
    headers = {str(name).lower(): str(value) for name, value in about.get("HTTPHeaders", {}).items()}
    return error_of(int(about.get("HTTPStatusCode", 0)), "" if code.isdigit() else code, headers, path)


class Refusal(Exception):
    """The cause of an error that the server gave, in its own words: for those few places that must tell one
    ``NotFound`` from another."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(_seen(status, code))
        self.status, self.code = status, code


def status_of(error: StorageError) -> int:
    """The status of the server's answer, or 0 if there was none."""
    return error.__cause__.status if isinstance(error.__cause__, Refusal) else 0


def code_of(error: StorageError) -> str:
    """The server's code, or nothing."""
    return error.__cause__.code if isinstance(error.__cause__, Refusal) else ""
