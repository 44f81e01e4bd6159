"""Tables made from repositories, and what is in them that no repository wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.codec.documents import DocumentCodec
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.operations import tables
from dynamodb_wrapper.operations.effects import Flow, call
from dynamodb_wrapper.repositories.tables import TableFoundation
from dynamodb_wrapper.testing.clock import Clock
from dynamodb_wrapper.transport import SyncDriver, connection_for

T = TypeVar("T")
R1 = TypeVar("R1", bound=TableFoundation[Any])
R2 = TypeVar("R2", bound=TableFoundation[Any])
R3 = TypeVar("R3", bound=TableFoundation[Any])
R4 = TypeVar("R4", bound=TableFoundation[Any])

_WAIT_SECONDS = 60.0
_FIVE_YEARS = 5 * 365 * 86_400.0


class Tables:
    """Makes repositories of the test's configuration, with their tables. Nothing here meets faults or is recorded."""

    def __init__(
        self, config: DynamoDBConfig, clock: Clock, off_stage: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._config = config
        self._codec = DocumentCodec(TimeRules.of(assumed="UTC", stored_in_utc=True, shown=None))
        self._clock = clock
        self._off_stage = off_stage

    @overload
    def __call__(self, one: type[R1], /) -> tuple[R1]: ...

    @overload
    def __call__(self, one: type[R1], two: type[R2], /) -> tuple[R1, R2]: ...

    @overload
    def __call__(self, one: type[R1], two: type[R2], three: type[R3], /) -> tuple[R1, R2, R3]: ...

    @overload
    def __call__(self, one: type[R1], two: type[R2], three: type[R3], four: type[R4], /) -> tuple[R1, R2, R3, R4]: ...

    @overload
    def __call__(self, *classes: type[TableFoundation[Any]]) -> tuple[TableFoundation[Any], ...]: ...

    def __call__(self, *classes: type[TableFoundation[Any]]) -> tuple[TableFoundation[Any], ...]:
        """Return a repository of each class, of either colour, once their tables are there.

        Raises:
            TypeError: One is no repository class.
        """
        given: tuple[object, ...] = classes
        for one in given:
            if not (isinstance(one, type) and issubclass(one, TableFoundation)):
                raise TypeError(f"{one!r:.80} is no repository class")
        made = tuple(of_class(self._config) for of_class in classes)
        for repository in made:
            for entity in repository._entities:
                self._run(tables.ensure_table(entity, wait_seconds=_WAIT_SECONDS, progress=_told_nobody))
        return made

    def store(self, repository: TableFoundation[Any], item: Mapping[str, object]) -> None:
        """Put an item into a repository's table just as it is: of an older program, of another one, or garbage.

        Args:
            repository: Whose table.
            item: Plain values by attribute, the table's key among them. They need not fit the model.

        Raises:
            ValidationError: A value cannot be stored at all, or the key is missing.
        """
        wire = self._codec.item("item", item)
        self._run(call("PutItem", {"TableName": repository.table_name, "Item": wire}))

    def stored(self, repository: TableFoundation[Any]) -> list[dict[str, Any]]:
        """Return everything in a repository's table as plain values, whatever the model makes of it."""
        return [self._codec.read(item) for item in self._run(_scanned(repository.table_name))]

    def expire(self, repository: TableFoundation[Any]) -> int:
        """Delete what DynamoDB's TTL would have deleted by now, as the test's clock tells; return how many items.

        DynamoDB itself takes up to some days for it, and until then gives expired items to who reads them.

        Raises:
            ValueError: The repository declares no ``ttl_attribute``.
        """
        entity = repository._table_entity
        if (ttl := entity.declaration.ttl) is None:
            raise ValueError(f"{type(repository).__name__} declares no ttl_attribute, so nothing in it expires")
        return self._run(_expired(entity.table_name, entity.codec.attribute(ttl), self._clock.now.timestamp()))

    def _run(self, flow: Flow[T]) -> T:
        driver: SyncDriver = connection_for(self._config).driver
        with self._off_stage():
            return driver.run(flow, each_request=True)


def _scanned(table_name: str) -> Flow[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"TableName": table_name, "ConsistentRead": True}
    while True:
        answer = yield from call("Scan", params)
        found += answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return found
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _expired(table_name: str, attribute: str, now: float) -> Flow[int]:
    description = yield from call("DescribeTable", {"TableName": table_name})
    key = [part["AttributeName"] for part in description["Table"]["KeySchema"]]
    count = 0
    for item in (yield from _scanned(table_name)):
        # As DynamoDB does: what is no number never expires, nor what is more than five years past.
        moment = float(item.get(attribute, {}).get("N", "inf"))
        if now - _FIVE_YEARS < moment < now:
            yield from call("DeleteItem", {"TableName": table_name, "Key": {name: item[name] for name in key}})
            count += 1
    return count


def _told_nobody(state: str) -> None:
    pass
