"""The lane through botocore: everything that botocore can do, at botocore's price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.errors import Endpoint, from_answer, from_botocore, from_credentials_service
from dynamodb_wrapper.transport.integrity import checked_body

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel


class BotocoreLane:
    """Sends a call once through a botocore client.

    Requests and answers have the shapes of botocore's low-level client: ``B`` values are `bytes`, numbers are text, and
    an answer has ``ResponseMetadata`` with the request id.
    """

    def __init__(self, client: Callable[[], BaseClient], endpoint: Callable[[BaseClient], Endpoint]) -> None:
        """Take the client and its address from the connection, anew for each call."""
        self._client = client
        self._endpoint = endpoint

    def send(self, call: Call) -> Response:
        """Return the parsed answer.

        Raises:
            DynamoDBWrapperError: DynamoDB refused the request, or no whole answer came. What is not botocore's
                exception is not converted.
        """
        client = self._client()
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        method = getattr(client, xform_name(call.operation))
        try:
            response: Response = method(**call.params)
        except ClientError as error:
            if error.operation_name != call.operation:
                raise from_credentials_service(error, call, self._endpoint(client)) from error
            raise from_answer(error, call, self._endpoint(client)) from error
        except BotoCoreError as error:
            raise from_botocore(error, call, self._endpoint(client)) from error
        return response


def verify_answers(client: BaseClient) -> None:
    """Make the client raise `CorruptResponseError` for an answer that did not arrive whole.

    botocore lets an exception of this handler through to the caller of the client's method.
    """
    client.meta.events.register("before-parse.dynamodb", _verify_answer)


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
