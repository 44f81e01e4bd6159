"""The direct lane: it speaks HTTP to DynamoDB itself, at a fraction of botocore's price.

It goes where botocore would go, with botocore's credentials, and leaves to the botocore lane whatever somebody
relies on botocore for (see `guard`). Answers and errors are those of the botocore lane.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dynamodb_wrapper.codec import to_json, with_bytes
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.deadlines import Abandonable, begin_sending
from dynamodb_wrapper.transport.errors import Endpoint, from_botocore, from_credentials_service, from_refusal
from dynamodb_wrapper.transport.failures import Hint, Verdict, context_of, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.guard import (
    FrozenKeys,
    Guard,
    Place,
    UnknownPlaceError,
    account_of,
    are_to_be_renewed,
    credentials_of,
    place_of,
)
from dynamodb_wrapper.transport.integrity import checked_answer, checked_body, damaged
from dynamodb_wrapper.transport.pool import Pool
from dynamodb_wrapper.transport.signing import Signer
from dynamodb_wrapper.transport.sockets import Tls

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from dynamodb_wrapper.transport.drivers import Lane

_TARGET = "DynamoDB_20120810."
_CLOCK_CODES = frozenset(
    (
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)
_TOLERATED_SKEW_SECONDS = 60.0  # AWS tolerates five minutes
_TRACE_CHARACTERS = "-=;:+&[]{}\"',"
_DICTS = frozenset((dict,))
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]")


class DirectLane:
    """Sends a call once, over its own connections; safe under threads and after a fork."""

    def __init__(
        self,
        client: Callable[[], BaseClient],
        endpoint: Callable[[BaseClient], Endpoint],
        abandonable: Abandonable,
        *,
        fallback: Lane,
        max_connections: int,
    ) -> None:
        """Take the client and its address from the connection, anew for each call; the fallback sends the rest."""
        self._client = client
        self._endpoint = endpoint
        self._abandonable = abandonable
        self._fallback = fallback
        self._max_connections = max_connections
        self._lock = ForkSafeLock()
        self._route: _Route | None = None

    def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer.

        Args:
            call: What to send.
            time_left: The seconds it may take in all; None for the configuration's time limits alone.

        Raises:
            DeadlineExceededError: They were not enough.
            DynamoDBWrapperError: DynamoDB refused the request, or no whole answer came.
        """
        if time_left is None or self._is_ready():
            found = self._route_and_keys(call)
        else:
            # Making a client and fetching credentials heed no time limit.
            started = time.monotonic()
            found = self._abandonable.run(lambda: self._route_and_keys(call), time_left)
            time_left -= time.monotonic() - started
        if found is None:  # botocore says best which credentials are missing
            return self._fallback.send(call, time_left)
        route, keys = found
        if route.why_not_direct(call.operation) is not None or (route.is_by_account and _names_an_arn(call)):
            return self._fallback.send(call, time_left)
        return route.send(call, keys, inf if time_left is None else time_left)

    def why_not_direct(self, operation: str = "GetItem") -> str | None:
        """Return why botocore sends an operation at this moment; None when the direct lane does.

        Raises:
            DynamoDBWrapperError: Credentials could not be fetched.
        """
        found = self._route_and_keys(Call(operation, {}))
        return "there are no credentials" if found is None else found[0].why_not_direct(operation)

    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            route, self._route = self._route, None
        if route is not None:
            route.close()

    def _is_ready(self) -> bool:
        """Whether route and keys are there at once."""
        route = self._route
        return route is not None and not are_to_be_renewed(credentials_of(route.client))

    def _route_and_keys(self, call: Call) -> tuple[_Route, FrozenKeys] | None:
        client = self._client()
        credentials = credentials_of(client)
        if credentials is None:
            return None
        try:
            keys: FrozenKeys = credentials.get_frozen_credentials()
        except Exception as error:  # of botocore's, which are imported only when needed
            if (ours := self._without_keys(error, call, client)) is None:
                raise
            raise ours from error
        route = self._route
        if route is None or not route.leads(client, keys):
            route = self._new_route(client, keys)
        return route, keys

    def _without_keys(self, error: Exception, call: Call, client: BaseClient) -> DynamoDBWrapperError | None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            return from_credentials_service(error, call, self._endpoint(client))
        return from_botocore(error, call, self._endpoint(client)) if isinstance(error, BotoCoreError) else None

    def _new_route(self, client: BaseClient, keys: FrozenKeys) -> _Route:
        with self._lock:
            old = self._route
            if old is not None and old.leads(client, keys):
                return old
            route = self._route = _Route(client, self._endpoint(client), keys, self._max_connections)
        if old is not None:
            old.close()  # of a client that was disconnected, or of the process that this one was forked from
        return route


class _Route:
    """The way of one client's requests: where to, signed how, over which connections."""

    def __init__(self, client: BaseClient, endpoint: Endpoint, keys: FrozenKeys, max_connections: int) -> None:
        self.client = client
        self._endpoint = endpoint
        self._guard = Guard(client)
        self._account_id = account_of(keys)
        self._why_not: str | None = None
        self.is_by_account = False
        self._heads: dict[str, tuple[str, str]] = {}
        self._is_on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        self._pool: Pool | None = None
        try:
            place = place_of(client)
        except UnknownPlaceError as unknown:
            self._why_not = str(unknown)
        else:
            self._use(place, max_connections)

    def _use(self, place: Place, max_connections: int) -> None:
        is_tls = place.scheme == "https"
        self.is_by_account = place.is_by_account
        self._path = place.path
        self._host = http.host_header(place.host, place.port, is_tls=is_tls)
        self._user_agent = f"dynamodb-wrapper python/{platform.python_version()}"
        if place.app_id:
            self._user_agent += f" app/{_NOT_A_TOKEN.sub('-', place.app_id)}"
        self._signer = Signer(region=place.region, service=place.service, host=self._host, path=place.path)
        self._pool = Pool(
            self._endpoint,
            (place.host, place.port),
            tls=Tls(place.ca_bundle) if is_tls else None,
            at_most=max_connections,
        )

    def leads(self, client: BaseClient, keys: FrozenKeys) -> bool:
        """Return whether this is the way for that client and those credentials."""
        return self.client is client and (not self.is_by_account or account_of(keys) == self._account_id)

    def why_not_direct(self, operation: str) -> str | None:
        """Return why botocore has to send an operation, or None."""
        return self._why_not or self._guard.why_not_direct(operation)

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.close()

    def send(self, call: Call, keys: FrozenKeys, time_left: float) -> Response:
        """Send a call and return the parsed answer."""
        assert self._pool is not None, "there is a reason why not"
        body = to_json(call.params) if call.body is None else call.body
        target, head = self._heads.get(call.operation) or self._new_head(call.operation)
        clock_offset = self._signer.clock_offset
        signature = self._signer.sign(target, body, keys)
        if self._is_on_lambda:
            signature += _trace_line()
        begin_sending()
        try:
            answer = self._pool.exchange(http.request(head, signature, body), time_left)
            plain = checked_body(answer.status, answer.headers, answer.body)
            if call.read is not None and answer.status < 300 and (read := call.read(plain)) is not None:
                read["ResponseMetadata"] = _metadata(answer)
                return read
            parsed = _parsed(answer, plain)
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise
        if answer.status < 300:
            return _checked_items(call, checked_answer(call, parsed))
        refusal = from_refusal(parsed, call, self._endpoint)
        if refusal.code in _CLOCK_CODES and self._set_clock(answer, clock_offset):
            hinted(refusal, Hint(Verdict.SAFE))  # the next attempt has the right time
        raise refusal

    def _new_head(self, operation: str) -> tuple[str, str]:
        target = f"{_TARGET}{operation}"
        head = http.request_head(self._path, self._host, target, self._user_agent)
        self._heads[operation] = target, head
        return target, head

    def _set_clock(self, answer: http.Answer, signed_with: float) -> bool:
        """Go by AWS's clock from now on, if a request was refused that was signed by another; return whether it was."""
        try:
            offset = parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - time.time()
        except ValueError:
            return False
        if abs(offset - signed_with) <= _TOLERATED_SKEW_SECONDS:
            return False
        self._signer.clock_offset = offset
        return True


def _trace_line() -> str:
    """Return the header by which Lambda recognises calls that go in a circle; another one in each invocation."""
    trace_id = os.environ.get("_X_AMZN_TRACE_ID")
    return f"X-Amzn-Trace-Id: {quote(trace_id, safe=_TRACE_CHARACTERS)}\r\n" if trace_id else ""


def _names_an_arn(call: Call) -> bool:
    params = call.params
    if (name := params.get("TableName")) is not None:
        return str(name).startswith("arn:")
    names = [*params.get("RequestItems", ())]
    for action in params.get("TransactItems", ()):
        names += [part.get("TableName", "") for part in action.values()]
    return any(name.startswith("arn:") for name in names)


def _parsed(answer: http.Answer, body: bytes) -> Response:
    """Return an answer in the shape that botocore gives it."""
    response = _loaded(answer.status, body) if body or answer.status < 300 else {}
    if None in response.values():
        response = {name: value for name, value in response.items() if value is not None}
    if answer.status >= 300:
        code = str(response.get("__type") or answer.status).split(":", 1)[0].rpartition("#")[2]
        message = response.get("message") or response.get("Message") or ""
        response["Error"] = {"Message": message, "Code": code}
    response["ResponseMetadata"] = _metadata(answer)
    return response


def _metadata(answer: http.Answer) -> dict[str, Any]:
    metadata: dict[str, Any] = {"HTTPStatusCode": answer.status, "HTTPHeaders": answer.headers, "RetryAttempts": 0}
    if (request_id := answer.headers.get("x-amzn-requestid")) is not None:
        metadata["RequestId"] = request_id
    return metadata


def _loaded(status: int, body: bytes) -> Response:
    try:
        has_binary = b'"B"' in body or b'"BS"' in body
        loaded = json.loads(body.decode(), object_hook=with_bytes if has_binary else None)
    except (ValueError, RecursionError) as error:
        reason: BaseException | None = error
    else:
        if isinstance(loaded, dict):
            return loaded
        reason = None
    raise damaged("it is not a JSON object, or not one of DynamoDB's", status) from reason


def _checked_items(call: Call, response: Response) -> Response:
    """Return an answer whose items were seen to be made of attributes; its members are known to be there."""
    for item in _items_in(response):
        if type(item) is not dict or not _DICTS.issuperset(map(type, item.values())):
            raise damaged(f"an item in an answer to {call.operation} has something else than attributes")
    return response


def _items_in(response: Response) -> Iterable[Any]:
    found = [response[name] for name in ("Item", "Attributes", "LastEvaluatedKey") if name in response]
    found += response.get("Items", ())
    responses = response.get("Responses", {})
    if isinstance(responses, dict):
        for items in responses.values():
            found += items if isinstance(items, list) else [None]
    else:  # of a transaction
        found += [part.get("Item", {}) if isinstance(part, dict) else part for part in responses]
    return found
