"""Errors of endpoints as problem details, and how OpenAPI shows them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request, WebSocket
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.integrations.fastapi.problems import (
    INTERNAL,
    INVALID_REQUEST,
    TYPE_PREFIX,
    FieldProblem,
    Kind,
    Problem,
    errors_of,
    kind_of,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
"""How long callers are asked to wait; DynamoDB itself adapts to load within seconds, and was asked several times."""

_REQUEST_ID = "X-Request-ID"
_PLAIN_ID = re.compile(r"[\w.:=/+-]{1,128}", re.ASCII)
_MOST_ERRORS = 100
_BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})

_logger = logging.getLogger("dynamodb_wrapper.integrations.fastapi")


def handle_errors(app: FastAPI, *, http_errors: bool = False) -> None:
    """Answer this library's errors with problem details, and log each under the id that its answer has.

    Neither tables nor keys nor messages of AWS are in an answer. The id is that of the request's ``X-Request-ID``, or
    a new one. ``app.add_exception_handler(ItemNotFoundError, ...)`` gives one error another answer.

    Args:
        app: The application.
        http_errors: Whether all other errors become problems too, in answers and in OpenAPI: ``HTTPException``, a
            request that does not validate, and exceptions that nobody handles (which servers log as before).
    """
    app.add_exception_handler(DynamoDBWrapperError, _answer)
    if http_errors:
        app.add_exception_handler(HTTPException, _answer_http)
        app.add_exception_handler(RequestValidationError, _answer_invalid)
        app.add_exception_handler(Exception, _answer_unexpected)
    _describe(app, http_errors=http_errors)


# --- answers ----------------------------------------------------------------------------------------------------------


async def _answer(request: Request | WebSocket, error: Exception) -> Response:
    if not isinstance(error, DynamoDBWrapperError) or not isinstance(request, Request):
        raise error  # on a WebSocket there is nobody to send a problem to
    kind, request_id = kind_of(error), _id_of(request)
    _log(request, request_id, kind, error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if kind.passes else None
    return _response(_problem(kind, request_id, errors_of(error, kind)), headers)


async def _answer_invalid(request: Request | WebSocket, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError) or not isinstance(request, Request):
        raise error
    # Without the values, which FastAPI repeats: NaN is no JSON, and a password is nothing to repeat.
    errors = [
        FieldProblem(field=".".join(map(str, entry["loc"])), message=entry["msg"])
        for entry in error.errors()[:_MOST_ERRORS]
    ]
    return _response(_problem(INVALID_REQUEST, _id_of(request), errors))


async def _answer_http(request: Request | WebSocket, error: Exception) -> Response:
    if not isinstance(error, HTTPException) or not isinstance(request, Request):
        raise error
    given: object = error.detail  # FastAPI allows anything that JSON knows
    if not isinstance(given, str) or error.status_code in _BODYLESS:
        return await http_exception_handler(request, error)
    title = HTTPStatus(error.status_code).phrase if error.status_code in set(HTTPStatus) else "Error"
    detail = None if given == title else given
    problem = Problem(title=title, status=error.status_code, detail=detail, request_id=_id_of(request))
    return _response(problem, error.headers)


async def _answer_unexpected(request: Request | WebSocket, error: Exception) -> Response:
    if not isinstance(request, Request):
        raise error
    request_id = _id_of(request)
    # Starlette raises it again after the answer, and the server logs it then, without the id.
    _logger.error("request_id=%s %s %r status=500 %s", *_about(request, request_id), type(error).__name__)
    return _response(_problem(INTERNAL, request_id, None))


def _problem(kind: Kind, request_id: str, errors: list[FieldProblem] | None) -> Problem:
    return Problem(
        type=TYPE_PREFIX + kind.name,
        title=kind.title,
        status=kind.status,
        detail=kind.detail,
        request_id=request_id,
        errors=errors,
    )


def _response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        problem.model_dump_json(exclude_none=True),
        problem.status,
        {**(headers or {}), _REQUEST_ID: problem.request_id},
        MEDIA_TYPE,
    )


def _id_of(request: Request) -> str:
    """Return the caller's id of the request if it is fit for a log, else a new one."""
    given = request.headers.get(_REQUEST_ID, "")
    return given if _PLAIN_ID.fullmatch(given) else uuid4().hex


def _log(request: Request, request_id: str, kind: Kind, error: DynamoDBWrapperError) -> None:
    """Log an error with everything that its answer does not say; one of the program with its traceback."""
    level = logging.ERROR if kind.status == 500 else logging.WARNING if kind.status > 500 else logging.INFO
    _logger.log(
        level,
        "request_id=%s %s %r status=%d %s: %s",
        *_about(request, request_id),
        kind.status,
        type(error).__name__,
        " ".join(str(error).splitlines()),
        exc_info=error if level == logging.ERROR else None,
        extra={"request_id": request_id, "status": kind.status, "error_class": type(error).__name__},
    )


def _about(request: Request, request_id: str) -> tuple[str, str, str]:
    return request_id, request.method, request.url.path


# --- OpenAPI ----------------------------------------------------------------------------------------------------------

_SCHEMAS = "#/components/schemas/"
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")  # the second is a part of the first


def _describe(app: FastAPI, *, http_errors: bool) -> None:
    """Have OpenAPI show problems under their media type, in place of FastAPI's own error where that is not sent."""
    make = app.openapi
    described: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal described
        document = make()
        if document is not described:  # FastAPI makes another one when routes were added
            _with_problems(document, http_errors=http_errors)
            described = document
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it, "Extending OpenAPI"


def _with_problems(document: dict[str, Any], *, http_errors: bool) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    own = _own_name(schemas)
    replaced = {_SCHEMAS + own, _SCHEMAS + _OF_FASTAPI[0]} if http_errors else {_SCHEMAS + own}
    for response in _responses(document):
        content = response.get("content", {})
        if content.get("application/json", {}).get("schema", {}).get("$ref") in replaced:
            del content["application/json"]
            content[MEDIA_TYPE] = {"schema": {"$ref": _SCHEMAS + own}}
    schema = Problem.model_json_schema(ref_template=_SCHEMAS + "{model}")
    for name, definition in {**schema.pop("$defs"), own: schema}.items():
        schemas.setdefault(name, definition)
    for name in _OF_FASTAPI if http_errors else ():
        if f'"{_SCHEMAS}{name}"' not in json.dumps(document):  # callbacks and webhooks, which others answer, keep it
            schemas.pop(name, None)


def _own_name(schemas: Mapping[str, Any]) -> str:
    """Return the name of `Problem`: the long one, as FastAPI has it, where the application has another Problem."""
    long = f"{Problem.__module__}.{Problem.__name__}".replace(".", "__")
    is_taken = "Problem" in schemas and schemas["Problem"].get("description") != Problem.__doc__
    return long if is_taken or long in schemas else Problem.__name__


def _responses(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        for operation in path.values():
            if isinstance(operation, dict):
                yield from operation.get("responses", {}).values()
