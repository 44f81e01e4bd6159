"""The lane through botocore: everything that botocore can do, at botocore's price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.codec import with_bytes
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.deadlines import Abandonable, begin_sending
from dynamodb_wrapper.transport.errors import (
    Endpoint,
    from_answer,
    from_botocore,
    from_credentials_service,
    without_credentials,
)
from dynamodb_wrapper.transport.integrity import checked_body, damaged

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

    from dynamodb_wrapper.transport.parsing import Parsing


class BotocoreLane:
    """Sends a call once through a botocore client.

    Requests and answers have the shapes of botocore's low-level client: ``B`` values are `bytes`, numbers are text, and
    an answer has ``ResponseMetadata`` with the request id.
    """

    def __init__(
        self,
        client: Callable[[], BaseClient],
        endpoint: Callable[[BaseClient], Endpoint],
        abandonable: Abandonable,
    ) -> None:
        """Take the client and its address from the connection, anew for each call."""
        self._client = client
        self._endpoint = endpoint
        self._abandonable = abandonable

    def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer.

        botocore's timeouts belong to the client, and neither name resolution nor a credentials provider heeds any. So a
        call that has only so much time left is made in a thread of its own, which is not waited for any longer.

        Raises:
            DynamoDBWrapperError: DynamoDB refused the request, or no whole answer came. What is not botocore's
                exception is not converted.
        """
        if time_left is None:
            return self._send(call)
        return self._abandonable.run(lambda: self._send(call), time_left)

    def open_ahead(self, connections: int, time_left: float) -> int:
        """Return 0: botocore opens its connections itself, with the first requests."""
        return 0

    def _send(self, call: Call) -> Response:
        client = self._client()
        from dynamodb_wrapper.transport.parsing import answer

        try:
            return answer(client, call, parameters_of(call))
        except DynamoDBWrapperError:
            raise
        except Exception as error:
            ours = _converted(error, call, self._endpoint(client))
            if ours is None:
                raise
            raise ours from error


def _converted(error: Exception, call: Call, endpoint: Endpoint) -> DynamoDBWrapperError | None:
    """Return our error for one of botocore's; None for one that is not."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        is_answer = error.operation_name == call.operation
        return (from_answer if is_answer else from_credentials_service)(error, call, endpoint)
    if isinstance(error, BotoCoreError):
        ours = without_credentials if _was_raised_in("botocore.credentials", error) else from_botocore
        return ours(error, call, endpoint)
    if _was_raised_in("botocore.parsers", error):  # an answer with a member of another type
        return damaged(f"botocore cannot parse it: {type(error).__name__}")
    return None


def parameters_of(call: Call) -> dict[str, Any]:
    """Return all parameters of a call, those that it has as JSON already too."""
    if call.body is None:
        return call.params
    has_binary = b'"B"' in call.body or b'"BS"' in call.body
    parameters: dict[str, Any] = json.loads(call.body, object_hook=with_bytes if has_binary else None)
    return parameters


def _was_raised_in(module: str, error: Exception) -> bool:
    """Whether it was in that module of botocore's, or in what it has called, that an error was raised."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__") == module:
            return True
        traceback = traceback.tb_next
    return False


def verify_answers(client: BaseClient, parsing: Parsing) -> None:
    """Make the client raise `CorruptResponseError` for an answer that did not arrive whole, and parse items quickly.

    botocore lets an exception of this handler through to the caller of the client's method.
    """
    name = _event_name(client)
    client.meta.events.register(f"provide-client-params.{name}", parsing.note_beginning)
    client.meta.events.register(f"before-parse.{name}", _Answers(parsing).prepare)


def note_sending(client: BaseClient) -> None:
    """Make the client ask, once a request is signed and before it is sent, whether it has been given up meanwhile."""
    # Last of this event, whose other handler signs: what holds a request up is the credentials.
    client.meta.events.register_last(f"request-created.{_event_name(client)}", _note_sending)


def _event_name(client: BaseClient) -> str:
    name: str = client.meta.service_model.service_id.hyphenize()
    return name


def _note_sending(**_: object) -> None:
    begin_sending()


class _Answers:
    """The answers of one client, before botocore parses them."""

    def __init__(self, parsing: Parsing) -> None:
        self._parsing = parsing

    def prepare(
        self,
        operation_model: OperationModel,
        response_dict: dict[str, Any],
        customized_response_dict: dict[str, Any],
        **_: object,
    ) -> None:
        """Check an answer, and parse what botocore parses slowly, or not at all."""
        status: int = response_dict["status_code"]
        headers: Mapping[str, str] = response_dict["headers"]
        may_be_empty = operation_model.output_shape is None
        body = response_dict["body"] = checked_body(status, headers, response_dict["body"], may_be_empty=may_be_empty)
        if status >= 300:
            if b"hrottlingReasons" in body:  # botocore's model knows them only since August 2025
                answer: dict[str, Any] = json.loads(body)
                names = ("ThrottlingReasons", "throttlingReasons")
                customized_response_dict.update({name: answer[name] for name in names if name in answer})
        else:
            items, response_dict["body"] = self._parsing.apart(operation_model.name, body)
            customized_response_dict.update(items)
