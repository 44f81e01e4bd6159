"""The ways to DynamoDB that the direct lanes take: where requests go, how they are signed, what an answer comes to.

There is no socket here, so the lanes of threads and of event loops share it.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from dynamodb_wrapper.codec import encoded_to_json
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport import answers, http
from dynamodb_wrapper.transport.errors import Endpoint, from_credentials_service, from_refusal, without_credentials
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation
from dynamodb_wrapper.transport.guard import (
    OPERATIONS,
    ClientlessGuard,
    FrozenKeys,
    Guard,
    account_of,
    are_to_be_renewed,
    credentials_of,
    nobody_listens,
    place_of,
)
from dynamodb_wrapper.transport.integrity import checked_answer, checked_body
from dynamodb_wrapper.transport.places import Place, UnknownPlaceError, plain_keys, plain_place
from dynamodb_wrapper.transport.signing import Signer
from dynamodb_wrapper.transport.sockets import Tls

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from dynamodb_wrapper.config import DynamoDBConfig

_log = logging.getLogger("dynamodb_wrapper.transport")

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
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]")


class Routes:
    """The route of a connection at each moment, with the keys to sign with; safe under threads and after a fork."""

    def __init__(
        self,
        config: DynamoDBConfig,
        client: Callable[[], BaseClient],
        endpoint: Callable[[BaseClient | str], Endpoint],
        *,
        has_opened: Callable[[], bool],
    ) -> None:
        """Find the routes of a connection.

        Args:
            config: Its configuration.
            client: Gives its client, making it if need be; asked anew for each call.
            endpoint: Gives what messages call the place that a client, or a URL, leads to.
            has_opened: Tells whether the connection has a client, or anything else of botocore's that users may have
                changed: then that client says where requests go.
        """
        self._config = config
        self._client = client
        self._endpoint = endpoint
        self._has_opened = has_opened
        self._lock = ForkSafeLock()
        self._route: Route | None = None
        self._plain: _Plain | None = None
        self._told: str | None = None

    def find(self, call: Call) -> tuple[Route, FrozenKeys] | None:
        """Return the route and the keys for a call; None when there are no credentials, of which botocore tells best.

        Where the configuration says all, and nobody listens to botocore, neither a client is made nor botocore loaded.
        Otherwise, making a client and fetching credentials take their time and heed no time limit.

        Raises:
            CredentialsError: They could not be fetched.
        """
        if (plain := self._found_plainly()) is not None:
            return plain
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

    def are_ready(self) -> bool:
        """Whether route and keys are found at once."""
        if self._found_plainly() is not None:
            return True
        route = self._route
        if route is None or route.client is None or route.generation != generation():
            return False
        return not are_to_be_renewed(credentials_of(route.client))

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the route leads that was found without a client; None if there is none."""
        found = self._found_plainly()
        return None if found is None else found[0].endpoint

    def why_not_direct(self, operation: str) -> str | None:
        """Return why botocore sends an operation at this moment; None when a direct lane does.

        Raises:
            DynamoDBWrapperError: Credentials could not be fetched.
        """
        found = self.find(Call(operation, {}))
        return "there are no credentials" if found is None else found[0].why_not_direct(operation)

    def why_botocore(self, client: BaseClient | None) -> str | None:
        """Return why botocore sends requests on items at this moment, as far as that is known without any waiting.

        Args:
            client: The connection's client, if there is one.
        """
        if self._found_plainly() is None and (client is None or are_to_be_renewed(credentials_of(client))):
            return "it is not known yet where requests go, or with which credentials"
        return self.why_not_direct("GetItem")

    def forget(self) -> None:
        """Find everything anew for the next call."""
        with self._lock:
            self._route = self._plain = None

    def _found_plainly(self) -> tuple[Route, FrozenKeys] | None:
        """Return the route that needs no client, and its keys; None if there has to be one."""
        if self._has_opened() or not nobody_listens():
            return None
        plain = self._plain
        if plain is None or plain.generation != generation():
            with self._lock:
                plain = self._plain
                if plain is None or plain.generation != generation():
                    plain = self._plain = _Plain(self._new_plain_route())
        return plain.found

    def _new_plain_route(self) -> tuple[Route, FrozenKeys] | None:
        try:
            keys, place = plain_keys(self._config), plain_place(self._config, os.environ)
        except UnknownPlaceError as unknown:
            _log.debug("botocore is asked where requests go: %s", unknown)
            return None
        url = self._config.endpoint_url or f"{place.scheme}://{place.host}"
        return Route(self._endpoint(url), place, ClientlessGuard(), self._tell), keys

    def _tell(self, reason: str) -> None:
        """Log why botocore sends requests, once, and again when the reason changes."""
        if reason != self._told and not self._config.is_embedded:  # which there is no other way to
            self._told = reason
            level = logging.WARNING if self._config.transport == "direct" else logging.INFO
            _log.log(level, "requests to %s go through botocore: %s", self._endpoint("AWS"), reason)

    def _without_keys(self, error: Exception, call: Call, client: BaseClient) -> DynamoDBWrapperError | None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            return from_credentials_service(error, call, self._endpoint(client))
        return without_credentials(error, call, self._endpoint(client)) if isinstance(error, BotoCoreError) else None

    def _new_route(self, client: BaseClient, keys: FrozenKeys) -> Route:
        with self._lock:
            route = self._route
            if route is None or not route.leads(client, keys):
                try:
                    place: Place | str = place_of(client)
                except UnknownPlaceError as unknown:
                    place = str(unknown)
                endpoint, guard = self._endpoint(client), Guard(client)
                route = self._route = Route(endpoint, place, guard, self._tell, client, account_of(keys))
            return route


class _Plain:
    """What came of looking for a route without a client, in one process."""

    __slots__ = ("found", "generation")

    def __init__(self, found: tuple[Route, FrozenKeys] | None) -> None:
        self.found = found
        self.generation = generation()


class Route:
    """The way of one connection's requests.

    Attributes:
        client: The client whose way it is; None if none had to be made.
        endpoint: Where it leads, and the time limits.
        address: Host and port to connect to.
        tls: None for plain text.
        generation: The process that it was found in.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        place: Place | str,
        guard: Guard | ClientlessGuard,
        tell: Callable[[str], None],
        client: BaseClient | None = None,
        account_id: str | None = None,
    ) -> None:
        """Lead to a place; a text instead says why no direct lane may go there. What goes elsewhere is told why."""
        self.client = client
        self.endpoint = endpoint
        self.address = ("", 0)
        self.tls: Tls | None = None
        self.generation = generation()
        self._guard = guard
        self._tell = tell
        self._account_id = account_id
        self._is_by_account = False
        self._why_not = place if isinstance(place, str) else None
        self._wire: tuple[object, ...] = ()
        self._heads: dict[str, tuple[str, str]] = {}
        self._is_on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        if isinstance(place, Place):
            self._lead_to(place)

    def _lead_to(self, place: Place) -> None:
        is_tls = place.scheme == "https"
        self.address = (place.host, place.port)
        self.tls = Tls(place.ca_bundle) if is_tls else None
        self._wire = self.generation, self.endpoint, self.address, place.ca_bundle if is_tls else None
        self._is_by_account = place.is_by_account
        self._path = place.path
        self._host = http.host_header(place.host, place.port, is_tls=is_tls)
        self._user_agent = f"dynamodb-wrapper python/{platform.python_version()}"
        if place.app_id:
            self._user_agent += f" app/{_NOT_A_TOKEN.sub('-', place.app_id)}"
        self._signer = Signer(region=place.region, service=place.service, host=self._host, path=place.path)

    def leads(self, client: BaseClient, keys: FrozenKeys) -> bool:
        """Return whether this is the way for that client and those credentials."""
        return self.client is client and (not self._is_by_account or account_of(keys) == self._account_id)

    def shares_connections_with(self, other: Route) -> bool:
        """Return whether open connections of one are good for the other: same process, place, limits, certificates."""
        return self._wire == other._wire != ()

    def why_not_direct(self, operation: str) -> str | None:
        """Return why botocore has to send an operation, or None."""
        return self._why_not or self._guard.why_not_direct(operation)

    def is_for(self, call: Call) -> bool:
        """Return whether a direct lane may send a call at this moment."""
        reason = self.why_not_direct(call.operation)
        if reason is not None and call.operation in OPERATIONS:
            self._tell(reason)
        return reason is None and not (self._is_by_account and _names_an_arn(call))

    def request(self, call: Call, keys: FrozenKeys) -> tuple[bytes, float]:
        """Return a call as it goes over the wire, and the clock it is signed by, which `outcome` asks for."""
        body = encoded_to_json(call.params) if call.body is None else call.body
        target, head = self._heads.get(call.operation) or self._new_head(call.operation)
        clock_offset = self._signer.clock_offset
        signature = self._signer.sign(target, body, keys)
        if self._is_on_lambda:
            signature += _trace_line()
        return http.request(head, signature, body), clock_offset

    def outcome(self, call: Call, answer: http.Answer, clock_offset: float) -> Response:
        """Return the parsed answer.

        Raises:
            DynamoDBWrapperError: DynamoDB refused the request, or the answer is none of DynamoDB's.
        """
        plain = checked_body(answer.status, answer.headers, answer.body)
        if call.read is not None and answer.status < 300 and (read := call.read(plain)) is not None:
            read["ResponseMetadata"] = answers.metadata(answer)
            return read
        parsed = answers.parsed(answer, plain)
        if answer.status < 300:
            return answers.checked_items(call, checked_answer(call, parsed))
        refusal = from_refusal(parsed, call, self.endpoint)
        if refusal.code in _CLOCK_CODES and self._set_clock(answer, clock_offset):
            hinted(refusal, Hint(Verdict.SAFE))  # the next attempt has the right time
        try:
            raise refusal
        finally:
            del refusal  # which would keep this frame, and it the answer

    def _new_head(self, operation: str) -> tuple[str, str]:
        target = f"{_TARGET}{operation}"
        head = http.request_head(self._path, self._host, target, self._user_agent)
        self._heads[operation] = target, head
        return target, head

    def _set_clock(self, answer: http.Answer, signed_with: float) -> bool:
        """Go by AWS's clock from now on, if a request was refused that was signed by another; return whether it was."""
        from email.utils import parsedate_to_datetime  # which loads much, for what rarely happens

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
