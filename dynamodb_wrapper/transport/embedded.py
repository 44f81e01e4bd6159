"""The embedded server: DynamoDB inside this process, for development and tests.

It is moto, called without a socket and only by clients of ours: a handler on each of them hands the request to moto's
web application. botocore is not patched, so the user's other clients go where they always went.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ServerError
from dynamodb_wrapper.transport import invalidation
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.client import BaseClient

_Answer = tuple[int, dict[str, str], bytes]

_TOKEN_SECONDS = 600.0
"""How long DynamoDB remembers the token of a transaction."""
_OTHER_PARAMETERS = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
        "Message": "DynamoDB rejected the request because you retried a request with a different payload but with an "
        "idempotent token that was already used.",
    }
).encode()

_logger = logging.getLogger("dynamodb_wrapper")
_lock = ForkSafeLock()  # moto has no lock of its own: without this one, two conditional writes could both succeed
_servers: dict[str, EmbeddedServer] = {}


class EmbeddedServer:
    """The tables of one name, in memory, apart from every other name's and from the user's own use of moto."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._app = _new_app()
        self._transactions: dict[str, _Transaction] = {}  # by token, the oldest first
        _logger.info(
            "the embedded DynamoDB %r lives in this process only: its tables and items are gone when it ends", name
        )

    def answer(self, request: AWSPreparedRequest) -> AWSResponse:
        """Return the server's answer to a signed request."""
        from botocore.awsrequest import AWSResponse

        headers = {name: _text(value) for name, value in request.headers.items()}
        respond = self._once if headers.get("X-Amz-Target", "").endswith(".TransactWriteItems") else self._respond
        status, headers, body = respond(headers, request.body)
        _forget_instances()
        return AWSResponse(request.url, status, headers, _Body(body))  # type: ignore[arg-type]

    def _once(self, headers: dict[str, str], body: Any) -> _Answer:
        """Write a transaction, or answer as before when its token was used for the same one; moto ignores tokens."""
        now = time.monotonic()
        known = self._transactions
        for token in list(takewhile(lambda token: known[token].at < now - _TOKEN_SECONDS, known)):
            del known[token]
        given = json.loads(body)
        token = given.pop("ClientRequestToken", None)
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).digest()
        if (done := known.get(token)) is not None:
            return done.answer if done.digest == digest else (400, {}, _OTHER_PARAMETERS)
        answer = self._respond(headers, body)
        if token is not None and answer[0] == 200:
            known[token] = _Transaction(digest, answer, now)
        return answer

    def _respond(self, headers: dict[str, str], body: Any) -> _Answer:
        from werkzeug.test import Client

        try:
            response = Client(self._app).post("/", data=body, headers=headers)
        except Exception as error:  # whatever goes wrong in moto is a failure of the server, not a bug of its caller
            operation = headers.get("X-Amz-Target", "?").rpartition(".")[2]
            message = f"the embedded server cannot do this {operation}: {type(error).__name__}: {error}"
            raise hinted(ServerError(message, error), Hint(Verdict.FINAL)) from error
        return response.status_code, dict(response.headers), response.get_data()


@dataclass(frozen=True, slots=True)
class _Transaction:
    """One that was written: a digest of what was asked for, the answer, and when that was."""

    digest: bytes
    answer: _Answer
    at: float


def attach(client: BaseClient, name: str) -> None:
    """Make a client of ours send its requests to the embedded server of that name.

    Raises:
        DynamoDBWrapperError: moto is not installed.
    """
    try:
        from moto.core.models import botocore_stubber

        with _lock:
            _server(name)
    except ImportError as error:
        raise DynamoDBWrapperError(
            "the embedded server is not installed: pip install 'dynamodb-wrapper[embedded]'", error
        ) from error

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        with _lock:
            return _server(name).answer(request)

    events: Any = client.meta.events  # whose stubs do not know handlers that return an answer
    # moto puts its stubber on every client made after its import; under mock_aws() it would apply each write twice.
    events.unregister("before-send", botocore_stubber)
    events.register("before-send.dynamodb", answer)


def drop_embedded(name: str) -> None:
    """Forget the tables of an embedded server and free their memory; the next request to it finds no table."""
    with _lock:
        _servers.pop(name, None)
    invalidation.forget_all()


def _server(name: str) -> EmbeddedServer:
    if name not in _servers:
        _servers[name] = EmbeddedServer(name)
    return _servers[name]


def _new_app() -> Any:
    from moto.core.utils import convert_to_flask_response
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.responses import DynamoHandler
    from moto.moto_server.werkzeug_app import create_backend_app

    backends: dict[str, DynamoDBBackend] = {}

    class Handler(DynamoHandler):
        """moto's DynamoDB over tables of our own: mock_aws() empties moto's, at its start and at its end."""

        @property
        def dynamodb_backend(self) -> DynamoDBBackend:
            if self.region not in backends:
                backends[self.region] = DynamoDBBackend(self.region, self.current_account)
            return backends[self.region]

    app = create_backend_app("dynamodb")
    for endpoint in app.view_functions:
        app.view_functions[endpoint] = convert_to_flask_response(Handler.dispatch)
    return app


def _forget_instances() -> None:
    # moto keeps every item that it ever made or copied, for the dashboard of its server: memory that only grows.
    from moto.core.model_instances import model_data

    for model in model_data["dynamodb"].values():
        for name in ("instances_tracked", "instances"):  # of moto now, and of moto 5.0
            vars(model).get(name, []).clear()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class _Body(io.BytesIO):
    """A response body that can be read the way botocore reads urllib3's."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """Yield the body in one piece."""
        yield self.read()
