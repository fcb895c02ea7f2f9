"""Patience with a store that answers with errors for a while: the same is tried again, with growing pauses, up to a
bound.

What is missing, forbidden or full stays so, and is told at once. The file systems' own retries are short: s3fs with
botocore gave up a server that answered 503, or dropped every connection, after 4 to 12 seconds, and what it then raised
was no OSError.
"""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import Callable
from random import SystemRandom
from typing import Any, TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception, wait_exponential

RETRY_SECONDS = 120.0
T = TypeVar("T")
_PAUSE = wait_exponential(multiplier=0.25, max=10)
_JITTER = SystemRandom()  # many workers shall not come back at once; and a trial's random numbers are not ours to draw
_PASSING = {
    getattr(errno, name)
    for name in (
        "EIO", "EREMOTEIO", "EBUSY", "EAGAIN", "EINTR", "ESTALE", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED",
        "ECONNABORTED", "EPIPE", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN",
    )
    if hasattr(errno, name)
}  # fmt: skip
# By name: which of these packages there is depends on the store.
_NETWORK = {
    "botocore": {"HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseParserError"},
    "aiohttp": {"ClientConnectionError", "ClientPayloadError"},
    "requests": {"ConnectionError", "Timeout", "ChunkedEncodingError"},
}


class UnreachableError(OSError):
    """A store that cannot be reached, or gave errors for longer than our patience."""


def with_retries(where: str, action: Callable[..., T], *args: Any) -> T:
    """What an action returns, tried again for RETRY_SECONDS while its errors may pass.

    Args:
        where: What it is about, for errors.
        action: Called with ``args``.

    Returns:
        What the action returns.

    Raises:
        OSError: whatever the file system's library raises; UnreachableError, which is one, where patience ended or no
            other class fits.
    """
    try:
        return action(*args)  # the common case, by the short way: a report reads a million times
    except Exception as error:
        failed = [error]

    def again() -> T:
        if failed:
            raise failed.pop()
        return action(*args)

    try:
        return _RETRY(again)
    except RetryError as ended:
        error = ended.last_attempt.exception()
        raise UnreachableError(f"{where} gave errors for {RETRY_SECONDS:.0f} s: {_line(error)}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if type(error).__module__.startswith("tailboard."):
            raise
        raise UnreachableError(f"{where} cannot be reached: {_line(error)}") from error


def is_transient(error: BaseException) -> bool:
    """Whether what failed may succeed when it is tried again."""
    answer = status(error)
    if answer is not None:
        return answer in (408, 409, 425, 429) or (answer >= 500 and answer != 501)
    if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLEOFError)) or getattr(error, "errno", 0) in _PASSING:
        return True
    return any(kind.__name__ in _NETWORK.get(kind.__module__.split(".")[0], ()) for kind in type(error).__mro__)


def status(error: BaseException) -> int | None:
    """The HTTP status that an error of an object store tells of; None where it tells of none."""
    for cause in (error, error.__cause__):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        for name in ("status", "code"):  # aiohttp's, gcsfs'
            if isinstance(found := getattr(cause, name, None), int) and 100 <= found < 600:
                return found
    return None


def _warn(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        logging.getLogger(__name__).warning(
            "the store does not answer (%s); it is asked again for %.0f s",
            _line(state.outcome.exception()), RETRY_SECONDS,
        )  # fmt: skip


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


_RETRY = Retrying(
    retry=retry_if_exception(is_transient),
    wait=lambda state: _PAUSE(state) * _JITTER.uniform(0.5, 1),
    stop=lambda state: (state.seconds_since_start or 0) > RETRY_SECONDS,
    before_sleep=_warn,
)
