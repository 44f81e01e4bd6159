"""Flows that read through a cache: what it has is not read, and what several callers want at once is read once.

A cache keeps answers as the bytes of DynamoDB's protocol, and every caller decodes his own: so what comes from it is
what a reading would give, models are never shared, and a change of the model needs no new cache.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind

from dynamodb_wrapper.codec import Item, to_json, with_bytes
from dynamodb_wrapper.operations.effects import AnswerReader, Flow, Params, Reading, Response, call, join

if TYPE_CHECKING:
    from pydantic_core.core_schema import WithDefaultSchema

    from dynamodb_wrapper.operations.declaration import Declaration
    from dynamodb_wrapper.operations.selection import Selection

Name = Hashable
"""What tells one answer of a cache from others."""
Bodies = dict[Name, bytes]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_JOINT_TRIES = 2
"""How often somebody joins the reading of another, if nothing comes of it, before he reads by himself."""


class Kind(Enum):
    """What answers are about."""

    ITEM = "one item, by its key"
    PAGE = "a page of a query: any write to the table may change it"


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What became of the readings through one cache, in this process, since it was first used.

    Attributes:
        hits: Answers that came from the cache.
        misses: Answers that were read from DynamoDB.
        shared: Answers that another caller was reading at that moment, and that were waited for.
        stale: Answers that were found, or read, but not used again because of a write meanwhile.
        entries: Answers that are kept in this process now; 0 where they are kept elsewhere.
        failures: How often a server that keeps answers failed; 0 for a cache in this process.
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stale: int = 0
    entries: int = 0
    failures: int = 0


class LedReading(Reading, Protocol):
    """A reading of this caller's, for which others may wait."""

    @property
    def name(self) -> Name:
        """What is read."""
        ...

    def end(self) -> None:
        """Let nobody wait any longer; they are told nothing, unless the answer was kept. Ending twice is fine."""
        ...


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a cache says to a question.

    Attributes:
        found: The answers it has.
        led: What this caller is to read.
        joined: What another caller reads at this moment.
    """

    found: Bodies
    led: Sequence[LedReading] = ()
    joined: Sequence[tuple[Name, Reading]] = ()


class AnswerCache(Protocol):
    """Where the answers about one table are kept. None of its methods waits; its flows may ask a server."""

    @property
    def consistent_fills(self) -> bool:
        """Whether items that are to be kept are read strongly consistent."""
        ...

    def info(self) -> CacheInfo:
        """Return what became of the readings so far."""
        ...

    def name_of(self, item: Mapping[str, Any]) -> Name:
        """Return the name of what is known of an item with this key: equal for equal keys, however they are written."""
        ...

    def hit(self, name: Name) -> bytes | None:
        """Return what is known of an item, if that is in this process."""
        ...

    def look_up(self, kind: Kind, names: Sequence[Name]) -> LookedUp:
        """Return what is in this process, and who reads the rest."""
        ...

    def fetched(self, led: Sequence[LedReading]) -> Flow[Bodies]:
        """Return what is elsewhere of what this caller is to read; who waits for it is told."""
        ...

    def keep(self, led: Sequence[LedReading], bodies: Bodies) -> Flow[None]:
        """Tell answers to who waits for them, and keep them unless they may be outdated."""
        ...

    def clear(self) -> Flow[None]:
        """Forget everything about the table."""
        ...


def recalled(
    cache: AnswerCache, kind: Kind, names: Sequence[Name], read: Callable[[Sequence[Name]], Flow[Bodies]]
) -> Flow[Bodies]:
    """Return the answers of these names: the cache's, those that others are reading, and the rest as they are read.

    A reading that fails is this caller's failure only: who waited for it reads again, the first of them for the others.

    Args:
        cache: The cache.
        kind: What the names are names of.
        names: What is asked for.
        read: Reads what the cache has not.
    """
    bodies: Bodies = {}
    missing = list(dict.fromkeys(names))
    for _ in range(_JOINT_TRIES):
        looked = cache.look_up(kind, missing)
        bodies.update(looked.found)
        if looked.led:
            bodies.update((yield from _led(cache, looked.led, read)))
        missing = []
        # After what is led, so that no two wait for each other; and for all at once, or the longest times add up.
        answers = yield from join([reading for _, reading in looked.joined])
        for (name, _), body in zip(looked.joined, answers, strict=True):
            if body is None:
                missing.append(name)
            else:
                bodies[name] = body
        if not missing:
            return bodies
    bodies.update((yield from read(missing)))
    return bodies


def _led(cache: AnswerCache, led: Sequence[LedReading], read: Callable[[Sequence[Name]], Flow[Bodies]]) -> Flow[Bodies]:
    try:
        bodies = yield from cache.fetched(led)
        rest = [reading for reading in led if reading.name not in bodies]
        if rest:
            answers = yield from read([reading.name for reading in rest])
            yield from cache.keep(rest, answers)
            bodies.update(answers)
        return bodies
    finally:
        for reading in led:
            reading.end()


class _Shapes(GenerateJsonSchema):
    """JSON schemas without defaults, which may be different in every process: sets, times."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of the value."""
        return self.generate_inner(schema["schema"])

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing: nobody will read the schema."""


@lru_cache(maxsize=256)  # asked for whenever a repository is made
def schema_of(declaration: Declaration) -> str:
    """Return a text that differs where models, or what is stored of them, do; it is the same in every process."""
    model = declaration.model_class
    try:
        fields: object = model.model_json_schema(mode="serialization", schema_generator=_Shapes)
    except pydantic.errors.PydanticUserError:  # of a type that JSON schemas have no word for
        fields = {name: _ADDRESS.sub("", str(info.annotation)) for name, info in model.model_fields.items()}
    version = None if declaration.evolution is None else declaration.evolution.current
    kind = None if declaration.kind is None else declaration.kind.value
    return json.dumps([f"{model.__module__}.{model.__qualname__}", version, kind, fields], default=str)


# --- answers as bytes -------------------------------------------------------------------------------------------------

NO_ITEM = b"{}"
"""The answer that there is no item."""


def body_of_item(item: Item | None) -> bytes:
    """Return the answer with an item, or with none."""
    return NO_ITEM if item is None else to_json({"Item": item})


def opened(body: bytes, read: AnswerReader | None) -> Response:
    """Return what a kept answer says, read as a lane would.

    Args:
        body: The answer.
        read: How it may be read instead of parsed.
    """
    answer = None if read is None else read(body)
    if answer is None:
        answer = json.loads(body, object_hook=with_bytes)
    return answer


# --- pages ------------------------------------------------------------------------------------------------------------

_NOT_KEPT = ("ResponseMetadata", "ConsumedCapacity")


def page(selection: Selection[Any], params: Params, read: AnswerReader | None) -> Flow[Response]:
    """Return the answer to one request of a query, from the cache if the query is to use it.

    Args:
        selection: The query.
        params: The parameters of the request.
        read: How a lane may read the answer.
    """
    cache = selection.entity.cache
    if cache is None or not selection.is_cached or selection.consistent:
        return (yield from call(selection.operation, params, read=read))
    name = hashlib.sha256(to_json([selection.operation, params])).digest()
    answers: list[Response] = []

    def send(_: Sequence[Name]) -> Flow[Bodies]:
        answers.append((yield from call(selection.operation, params)))
        return {name: to_json({part: value for part, value in answers[-1].items() if part not in _NOT_KEPT})}

    body = (yield from recalled(cache, Kind.PAGE, (name,), send))[name]
    answer = opened(body, read)
    if answers and "ConsumedCapacity" in answers[-1]:
        answer["ConsumedCapacity"] = answers[-1]["ConsumedCapacity"]
    return answer
