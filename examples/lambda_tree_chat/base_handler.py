"""`BaseHandler`: routes to methods, errors to answers, and a time limit that is shorter than Lambda's."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from examples.lambda_tree_chat.events import Event, Request, Response, response
from examples.lambda_tree_chat.problems import MissingError, NotAllowedError, answer_to

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = logging.getLogger("tree_chat")

Method = Callable[..., Response]

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RESERVED_SECONDS = 1.0  # for the answer, and for whoever is slow to notice that time is up
_LONGEST_SECONDS = 25.0  # API Gateway waits for 29 or 30


def route(method: str, path: str) -> Callable[[Method], Method]:
    """Make a method of a handler answer to requests; each ``{name}`` in the path is an id, and an argument."""

    def marked(function: Method) -> Method:
        pattern = re.sub(r"{(\w+)}", rf"(?P<\1>{_ID})", path)
        vars(function).setdefault("routes", []).append((method, re.compile(f"{pattern}/?")))
        return function

    return marked


class BaseHandler:
    """Called by Lambda with each event. Subclasses have methods with a `route`."""

    routes: ClassVar[list[tuple[str, re.Pattern[str], str]]]

    def __init_subclass__(cls) -> None:
        cls.routes = [(*marked, name) for name, method in vars(cls).items() for marked in getattr(method, "routes", ())]

    def __call__(self, event: Event, context: LambdaContext) -> Response:
        seconds = _seconds_left(context)
        if "Records" in event:
            return self.from_queue(event, seconds)
        try:
            request = Request.of(event)
            method, ids = self._method(request)
            return method(request, seconds, **ids)
        except Exception as error:  # noqa: BLE001 - left alone, it would be a 502 that tells nobody anything
            return _failed(error, context)

    def from_queue(self, event: Event, seconds: float) -> Response:
        """Handle the messages of an SQS queue; the answer names those that are to come again."""
        raise NotImplementedError

    def _method(self, request: Request) -> tuple[Method, dict[str, Any]]:
        allowed = []
        for method, pattern, name in self.routes:
            if (found := pattern.fullmatch(request.path)) is not None:
                if method == request.method:
                    return getattr(self, name), found.groupdict()
                allowed.append(method)
        if allowed:
            raise NotAllowedError(f"{request.method} is not possible here, only {', '.join(sorted(allowed))}")
        raise MissingError("there is nothing here")


def _seconds_left(context: LambdaContext) -> float:
    left = context.get_remaining_time_in_millis() / 1000 - _RESERVED_SECONDS
    return max(0.1, min(_LONGEST_SECONDS, left))


def _failed(error: Exception, context: LambdaContext) -> Response:
    status, text, details = answer_to(error)
    if status >= 500:
        logger.error("%s: %s", type(error).__name__, error, exc_info=error)
    body: dict[str, object] = {"error": text, "request_id": context.aws_request_id}
    if details:
        body["details"] = details
    return response(status, body, **({"retry-after": "1"} if status in (429, 503) else {}))
