"""What can befall a request on its way over the wire, as the caller is told: the pools of both colours say the same."""

from __future__ import annotations

import ssl

from dynamodb_wrapper.exceptions import ConnectionError, DeadlineExceededError
from dynamodb_wrapper.transport.errors import HANDSHAKE_FAILURES, Endpoint
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted


class Mishaps:
    """The errors of one endpoint's connections, each with the hint whether the request may have been applied.

    Those about time take the seconds that were given, and whether these were all that was left of the call's limit.
    """

    def __init__(self, endpoint: Endpoint, at_most: int) -> None:
        """Speak of an endpoint and a pool of so many connections."""
        self._endpoint = endpoint
        self._at_most = at_most

    def not_its_turn(self, seconds: float, *, is_last: bool) -> ConnectionError:
        """Return the error of a request that waited for a connection in vain."""
        text = f"all {self._at_most} connections (max_pool_connections) to {self._endpoint} were in use"
        return _late(text, "for", seconds, Verdict.SAFE, is_last=is_last)

    def no_time(self) -> DeadlineExceededError:
        """Return the error of a request for which no time was left."""
        text = f"the request was not sent to {self._endpoint}, as no time was left"
        return hinted(DeadlineExceededError(text), Hint(Verdict.SAFE))

    def closed_before(self) -> ConnectionError:
        """Return the error of a request that the system no longer took."""
        return _failed(f"the connection to {self._endpoint} was closed before the request was sent", Verdict.SAFE)

    def not_answered(self, seconds: float, error: BaseException, *, is_last: bool) -> ConnectionError:
        """Return the error of a request whose answer did not come in time."""
        text = "no answer came" if is_last else f"DynamoDB did not answer at {self._endpoint}"
        return _late(text, "within", seconds, Verdict.LOST, error, is_last=is_last)

    def cut_off(self, error: BaseException) -> ConnectionError:
        """Return the error of a request whose connection broke."""
        text = f"the connection to {self._endpoint} was closed before the answer had arrived whole"
        return _failed(text, Verdict.LOST, error)

    def not_accepted(self, seconds: float, error: BaseException, *, is_last: bool) -> ConnectionError:
        """Return the error of a connection that was not made in time."""
        text = f"DynamoDB did not accept a connection at {self._endpoint}"
        return _late(text, "within", seconds, Verdict.SAFE, error, is_last=is_last)

    def not_made(self, error: OSError) -> ConnectionError:
        """Return the error of a connection that could not be made, or could not be made secure."""
        if not isinstance(error, ssl.SSLError):
            return _failed(f"DynamoDB could not be reached at {self._endpoint}: {error}", Verdict.SAFE, error)
        final = any(reason in str(error) for reason in HANDSHAKE_FAILURES)
        text = f"no secure connection to {self._endpoint}: {error}"
        return _failed(text, Verdict.FINAL if final else Verdict.SAFE, error)


def _late(
    text: str,
    preposition: str,
    seconds: float,
    verdict: Verdict,
    error: BaseException | None = None,
    *,
    is_last: bool,
) -> ConnectionError:
    if is_last:
        text = f"{text} {preposition} the {max(0.0, seconds):.3g} s that were left of the time limit"
        return hinted(DeadlineExceededError(text, error), Hint(verdict))
    return _failed(f"{text} {preposition} {seconds:.3g} s", verdict, error)


def _failed(text: str, verdict: Verdict, error: BaseException | None = None) -> ConnectionError:
    return hinted(ConnectionError(text, error), Hint(verdict))
