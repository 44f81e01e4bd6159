"""The lane through botocore: everything that botocore can do, at botocore's price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.codec import with_bytes
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.deadlines import Abandonable, begin_sending
from dynamodb_wrapper.transport.errors import (
    Endpoint,
    from_answer,
    from_botocore,
    from_credentials_service,
    without_credentials,
)
from dynamodb_wrapper.transport.integrity import checked_answer, checked_body, damaged

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel


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
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        method = getattr(client, xform_name(call.operation))
        try:
            response: Response = method(**parameters_of(call))
        except ClientError as error:
            if error.operation_name != call.operation:
                raise from_credentials_service(error, call, self._endpoint(client)) from error
            raise from_answer(error, call, self._endpoint(client)) from error
        except BotoCoreError as error:
            ours = without_credentials if _was_raised_in("botocore.credentials", error) else from_botocore
            raise ours(error, call, self._endpoint(client)) from error
        except Exception as error:
            if not _was_raised_in("botocore.parsers", error):  # an answer with a member of another type
                raise
            raise damaged(f"botocore cannot parse it: {type(error).__name__}") from error
        return checked_answer(call, response)


def parameters_of(call: Call) -> dict[str, Any]:
    """Return all parameters of a call, those that it has as JSON already too."""
    if call.body is None:
        return call.params
    parameters: dict[str, Any] = json.loads(call.body, object_hook=with_bytes)
    return parameters


def _was_raised_in(module: str, error: Exception) -> bool:
    """Whether it was in that module of botocore's, or in what it has called, that an error was raised."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__") == module:
            return True
        traceback = traceback.tb_next
    return False


def verify_answers(client: BaseClient) -> None:
    """Make the client raise `CorruptResponseError` for an answer that did not arrive whole.

    botocore lets an exception of this handler through to the caller of the client's method.
    """
    client.meta.events.register(f"before-parse.{_event_name(client)}", _verify_answer)


def note_sending(client: BaseClient) -> None:
    """Make the client ask, once a request is signed and before it is sent, whether it has been given up meanwhile."""
    # Last of this event, whose other handler signs: what holds a request up is the credentials.
    client.meta.events.register_last(f"request-created.{_event_name(client)}", _note_sending)


def _event_name(client: BaseClient) -> str:
    name: str = client.meta.service_model.service_id.hyphenize()
    return name


def _note_sending(**_: object) -> None:
    begin_sending()


def _verify_answer(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    status: int = response_dict["status_code"]
    headers: Mapping[str, str] = response_dict["headers"]
    may_be_empty = operation_model.output_shape is None
    body = response_dict["body"] = checked_body(status, headers, response_dict["body"], may_be_empty=may_be_empty)
    if status >= 300 and b"hrottlingReasons" in body:  # botocore's model knows them only since August 2025
        answer: dict[str, Any] = json.loads(body)
        names = ("ThrottlingReasons", "throttlingReasons")
        customized_response_dict.update({name: answer[name] for name in names if name in answer})
