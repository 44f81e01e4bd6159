"""What callers send, and what they get."""

from __future__ import annotations

import time
from copy import deepcopy
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from examples.feature_store.tables import TableType

MAX_CATEGORIES = 100
"""AWS allows 100 actions in a transaction, and 100 keys in a batch of reads."""
_RESERVED = {"data", "metadata"}
_END_OF_9999 = 253_402_300_799


def _named(value: JsonValue) -> JsonValue:
    """Refuse empty names, at any depth: DynamoDB has none."""
    if isinstance(value, dict):
        if "" in value:
            raise ValueError("a name is empty")
        for inner in value.values():
            _named(inner)
    elif isinstance(value, list):
        for inner in value:
            _named(inner)
    return value


def _not_reserved(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"{name!r} cannot be the name of a category")
    return name


def _in_the_future(ttl: int) -> int:
    if ttl <= time.time():
        raise ValueError("is in the past: ttl is a time, in seconds since 1970, not a duration")
    if ttl > _END_OF_9999:
        raise ValueError("is after the year 9999: ttl is a time in seconds, not in milliseconds")
    return ttl


def _bare_too(schema: dict[str, Any]) -> None:
    """Let OpenAPI say that what is in ``data`` may also come without it."""
    wrapped = {name: schema.pop(name) for name in ("type", "properties", "required", "additionalProperties")}
    schema["anyOf"] = [deepcopy(wrapped["properties"]["data"]), wrapped]


def _with_examples(schema: dict[str, Any]) -> None:
    _bare_too(schema)
    schema["examples"] = [
        {"profile": {"age": 31, "city": "Bath"}},
        {"data": {"profile": {"age": 31}}, "metadata": {"source": "batch", "compute_id": "run-7"}},
    ]


Name = Annotated[str, Field(min_length=1)]
Category = Annotated[Name, AfterValidator(_not_reserved)]
Features = Annotated[dict[str, JsonValue], AfterValidator(_named)]


class Metadata(BaseModel):
    """What is known of features beside their values."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(min_length=1, max_length=200)] = "api"
    compute_id: Annotated[str, Field(max_length=200)] | None = None
    ttl: Annotated[int, AfterValidator(_in_the_future)] | None = None
    # The service sets them; they are taken and ignored, so that what was read can be sent again.
    created_at: datetime | None = None
    updated_at: datetime | None = None


class CategoryToWrite(BaseModel):
    """``{feature: value}``, or ``{"data": {feature: value}, "metadata": {...}}`` as a read answers it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_bare_too)

    data: Features
    metadata: Metadata | None = None

    @model_validator(mode="before")
    @classmethod
    def _wrapped(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, dict) and given.keys() != _RESERVED else given


class Write(BaseModel):
    """``{category: {feature: value}}``, or ``{"data": {category: {feature: value}}, "metadata": {...}}``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_with_examples)

    data: Annotated[dict[Category, CategoryToWrite], Field(min_length=1, max_length=MAX_CATEGORIES)]
    metadata: Metadata = Metadata()

    @model_validator(mode="before")
    @classmethod
    def _wrapped(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, dict) and "data" not in given else given


class Replaced(BaseModel):
    status: Literal["replaced"] = "replaced"
    feature_count: int


class Written(BaseModel):
    message: str
    identifier: str
    table_type: TableType
    results: dict[str, Replaced]
    total_features: int


Read = Annotated[dict[Name, Annotated[list[Name], Field(min_length=1)]], Field(min_length=1, max_length=MAX_CATEGORIES)]
"""Which features of which categories: ``{category: [feature]}``."""


class MetadataRead(BaseModel):
    created_at: datetime | None
    updated_at: datetime | None
    source: str | None
    compute_id: str | None
    ttl: int | None


class FeaturesRead(BaseModel):
    data: dict[str, JsonValue]
    metadata: MetadataRead


class Identified(BaseModel):
    """Has the identifier under the name of its table, and nothing under the others."""

    bright_uid: str | None = None
    account_id: str | None = None
    account_pid: str | None = None


class CategoryRead(Identified):
    """One category."""

    category: str
    features: FeaturesRead


class CategoriesRead(Identified):
    """Features of some categories."""

    features: dict[str, FeaturesRead] = Field(description="The categories that there are.")
    missing: dict[str, list[str]] = Field(description="What was asked for and is not there, by category.")


class Health(BaseModel):
    status: Literal["healthy", "unhealthy"]
    dynamodb_connection: bool
    tables_available: list[TableType]
    timestamp: datetime
