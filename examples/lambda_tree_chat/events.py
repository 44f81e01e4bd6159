"""Requests as API Gateway sends them: HTTP APIs (payload 2.0) and REST APIs (1.0)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from examples.lambda_tree_chat.problems import RefusedError, UnauthorizedError

B = TypeVar("B", bound=BaseModel)
Event = Mapping[str, Any]
Response = dict[str, Any]

_LONGEST_BODY = 64_000
_MAX_TOKEN = 100
_MOST_DIGITS = 9


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    path: str
    user_id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    raw_body: str = ""

    @classmethod
    def of(cls, event: Event) -> Request:
        context = event["requestContext"]
        is_v2 = event.get("version") == "2.0"
        authorizer = context.get("authorizer") or {}
        claims = (authorizer.get("jwt") or {}).get("claims") if is_v2 else authorizer.get("claims")
        user_id = (claims or {}).get("sub")
        if not user_id:
            raise UnauthorizedError("who are you? The token's claim `sub` is missing")
        return cls(
            method=context["http"]["method"] if is_v2 else event["httpMethod"],
            path=_without_stage(event["rawPath"], context.get("stage")) if is_v2 else event["path"],
            user_id=user_id,
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            query=event.get("queryStringParameters") or {},
            raw_body=_body(event),
        )

    @property
    def token(self) -> str | None:
        """What the client sends again when it repeats a request."""
        token = self.headers.get("idempotency-key")
        if token is not None and not (1 <= len(token) <= _MAX_TOKEN and token.isprintable()):
            raise RefusedError(f"Idempotency-Key has 1 to {_MAX_TOKEN} printable characters")
        return token

    def body(self, model: type[B]) -> B:
        return model.model_validate_json(self.raw_body or "{}")

    def number(self, name: str, default: int, most: int) -> int:
        text = self.query.get(name, str(default))
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= most:
            return int(text)
        raise RefusedError(f"{name} is a whole number from 1 to {most}")


def response(status: int, body: object, **headers: str) -> Response:
    """Return an answer, in the form that both kinds of API take."""
    named = {"content-type": "application/json", "cache-control": "no-store", **headers}
    return {"statusCode": status, "headers": named, "body": json.dumps(body, ensure_ascii=False)}


def _body(event: Event) -> str:
    body: str = event.get("body") or ""
    if len(body) > _LONGEST_BODY:
        raise RefusedError(f"the body has at most {_LONGEST_BODY} characters")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except ValueError as error:  # of Base64, and of UTF-8
        raise RefusedError("the body is not text") from error


def _without_stage(path: str, stage: str | None) -> str:
    """A stage with a name is the first part of the path; ``$default`` is not in it."""
    prefix = f"/{stage}"
    return path.removeprefix(prefix) or "/" if path == prefix or path.startswith(f"{prefix}/") else path
