"""Many items: batches and the loader, on every server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier, get_ident
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    BaseDynamoRepository,
    BatchIncompleteError,
    TableNotFoundError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.codec import read_any
from dynamodb_wrapper.operations import batches
from dynamodb_wrapper.operations.batches import BatchProgress, Entry, Wanted
from tests.contract.shop import Make, Order, Orders, PlainOrders, order, requests, stored
from tests.contract.skins import Loop
from tests.servers import Server


class Reading(BaseModel):
    """With a number and bytes as key, which servers may write in other ways than we do."""

    sensor: Decimal
    place: bytes
    value: str = ""


class Readings(BaseDynamoRepository[Reading]):
    table_name = "readings"
    primary_key = "sensor"
    sort_key = "place"


@pytest.fixture
def plain(make: Make) -> PlainOrders:
    return make(PlainOrders)


def numbered(count: int, **fields: Any) -> Iterator[Order]:
    return (order(f"c{number % 7}", f"o{number:05}", **fields) for number in range(count))


def keys_of(models: list[Order]) -> list[tuple[str, str]]:
    return [(model.customer_id, model.order_id) for model in models]


def test_a_thousand_items_there_and_back_and_away(plain: PlainOrders, skin: str, loop: Loop) -> None:
    home = loop.thread if skin == "async" else get_ident()
    told: list[tuple[BatchProgress, int]] = []

    def progress(reached: BatchProgress) -> None:
        told.append((reached, get_ident()))

    models = list(numbered(1000, total=Decimal("1.50"), tags={"a", "b"}))
    with requests() as sent:
        assert plain.put_many(models, progress=progress) == 1000
    assert sent == ["BatchWriteItem"] * 40
    assert [reached.done for reached, _ in told] == list(range(25, 1001, 25))
    assert {(reached.total, thread) for reached, thread in told} == {(1000, home)}
    assert models[999].created_at is not None

    keys = [*reversed(keys_of(models)), ("c1", "none"), ("c6", "o00006")]
    with requests() as sent:
        read = plain.get_many(keys, consistent=True)
    assert sent == ["BatchGetItem"] * 11
    assert read[:1000] == models[::-1]
    assert read[1000:] == [None, models[6]]

    assert plain.delete_many(keys) == 1002
    assert plain.count() == 0


def test_generators_with_a_total_that_nobody_knows(plain: PlainOrders) -> None:
    told: list[BatchProgress] = []
    assert plain.put_many(numbered(130), concurrency=2, progress=told.append) == 130
    assert (told[-1].done, told[-1].total) == (130, None)
    assert plain.count() == 130
    read = plain.get_many((key for key in keys_of(list(numbered(130)))), concurrency=1)
    assert [model is not None for model in read] == [True] * 130
    assert plain.delete_many((key for key in keys_of(list(numbered(130)))), concurrency=7) == 130
    assert plain.count() == 0


def test_no_items_send_nothing(plain: PlainOrders) -> None:
    with requests() as sent:
        assert plain.put_many([]) == plain.delete_many([]) == 0
        assert plain.get_many([]) == []
        with plain.batch() as batch:
            pass
    assert batch.done == 0
    assert sent == []


def test_the_last_of_the_same_key_wins_near_and_far(plain: PlainOrders) -> None:
    first, last = list(numbered(60, note="first")), list(numbered(60, note="last"))
    turns = [model for pair in zip(first, last, strict=True) for model in pair]
    assert plain.put_many(turns) == 120
    assert {model.note for model in plain.scan()} == {"last"}
    assert plain.put_many([*last, *first]) == 120
    assert {model.note for model in plain.scan()} == {"first"}


def test_keys_of_numbers_and_bytes(make: Make) -> None:
    readings = make(Readings)
    models = [Reading(sensor=Decimal(n) / 4, place=bytes([0, n]), value=str(n)) for n in range(30)]
    readings.put_many([*models, *models])
    keys = [
        (Decimal(f"{model.sensor}0" if "." in str(model.sensor) else model.sensor), model.place) for model in models
    ]
    assert readings.get_many(keys) == models
    assert [partial["value"] for partial in readings.get_many(keys, attributes=["value"])] == [  # type: ignore[index]
        model.value for model in models
    ]


def test_some_attributes(plain: PlainOrders) -> None:
    plain.put_many([order("c1", "o1", note="x", total=3), order("c1", "o2", total=4)])
    found = plain.get_many([("c1", "o2"), ("c1", "o3"), ("c1", "o1")], attributes=["note", "count"], consistent=True)
    assert [None if item is None else dict(item) for item in found] == [{"count": 0}, None, {"count": 0, "note": "x"}]


def test_large_items_come_in_several_answers(plain: PlainOrders) -> None:
    """60 items of 390 KB are more than the 16 MB of one answer, and 25 are more than half of a request."""
    models = [order("c1", f"o{number:03}", note="x" * 390_000) for number in range(60)]
    assert plain.put_many(models) == 60
    assert plain.get_many(keys_of(models)) == models


def test_writes_without_conditions_are_refused_on_a_versioned_repository(make: Make) -> None:
    orders = make(Orders)
    model = orders.create(order())
    for refused in (
        lambda: orders.put_many([model]),
        lambda: orders.delete_many([("c1", "o1")]),
        lambda: orders.batch(),
    ):
        with requests() as sent, pytest.raises(ValidationError, match="ignore_version"):
            refused()
        assert sent == []
    mine = orders.get_or_raise("c1", "o1")
    assert orders.put_many([model], ignore_version=True) == 1
    assert model.version == 2
    with pytest.raises(VersionConflictError):
        orders.update(mine)
    assert orders.update(model).version == 3
    assert orders.delete_many([("c1", "o1")], ignore_version=True) == 1


def test_a_missing_table(make: Make, server: Server) -> None:
    plain = PlainOrders(server.config())
    with pytest.raises(BatchIncompleteError) as caught:
        plain.put_many(list(numbered(60)))
    assert isinstance(caught.value.original_error, TableNotFoundError)
    assert (len(caught.value.unprocessed), caught.value.done) == (60, 0)
    with pytest.raises(TableNotFoundError):
        plain.get_many([("c1", "o1")])


def test_what_was_not_done_can_be_given_again(plain: PlainOrders) -> None:
    def broken() -> Iterator[Order]:
        yield from numbered(60)
        raise OSError("the file ends here")

    with pytest.raises(BatchIncompleteError) as caught:
        plain.put_many(broken())
    assert isinstance(caught.value.__cause__, OSError)
    assert plain.count() == caught.value.done == 50
    plain.put_many(caught.value.unprocessed)  # type: ignore[arg-type]
    assert plain.count() == 60


class TestBlock:
    def test_everything_is_sent_at_its_end(self, plain: PlainOrders, server: Server) -> None:
        plain.put(order("c1", "o1"))
        with requests() as sent, plain.batch() as batch:
            for model in numbered(40):
                batch.put(model)
            batch.delete("c1", "o1")
            changed = order("c9", "o9", note="as it was")
            batch.put(changed)
            changed.note = "changed"
            assert sent == []
        assert sent == ["BatchWriteItem"] * 2
        assert batch.done == 42
        assert plain.get("c1", "o1") is None
        assert stored(server, plain, customer_id="c9", order_id="o9")["note"] == {"S": "as it was"}
        assert changed.updated_at is not None

    def test_nothing_is_sent_if_the_body_raises(self, plain: PlainOrders) -> None:
        batch, other = plain.batch(), plain.batch()

        def break_off() -> None:
            with batch:
                batch.put(order())
                raise KeyError("oh")

        def give_a_bad_key() -> None:
            with other:
                other.put(order())
                other.delete("c1")

        with requests() as sent:
            with pytest.raises(KeyError):
                break_off()
            with pytest.raises(ValidationError, match="no value was given"):
                give_a_bad_key()
        assert sent == []
        assert batch.done == other.done == 0

    def test_blocks_in_blocks_are_of_their_own(self, plain: PlainOrders) -> None:
        def break_off() -> None:
            with plain.batch() as failed:
                failed.put(order("c1", "failed"))
                raise KeyError("oh")

        with plain.batch() as outer:
            outer.put(order("c1", "outer"))
            with pytest.raises(KeyError):
                break_off()
            with plain.batch() as inner:
                inner.put(order("c1", "inner"))
                outer.put(order("c1", "outer 2"))
            assert [model.order_id for model in plain.query("c1")] == ["inner"]
        assert [model.order_id for model in plain.query("c1")] == ["inner", "outer", "outer 2"]

    def test_a_batch_is_entered_once_and_used_inside(self, plain: PlainOrders) -> None:
        batch = plain.batch()
        with pytest.raises(ValidationError, match="inside of its"):
            batch.put(order())
        with batch:
            with pytest.raises(ValidationError, match="entered once"):
                batch.__enter__()
            batch.put(order())
        with pytest.raises(ValidationError, match="entered once"), batch:
            pass
        with pytest.raises(ValidationError, match="inside of its"):
            batch.delete("c1", "o1")
        assert plain.count() == 1

    def test_the_last_write_of_a_key_wins(self, plain: PlainOrders) -> None:
        with plain.batch() as batch:
            batch.put(order("c1", "o1"))
            batch.put(order("c1", "o2"))
            batch.delete("c1", "o1")
            batch.delete("c1", "o3")
            batch.put(order("c1", "o3"))
        assert [model.order_id for model in plain.query("c1")] == ["o2", "o3"]


def test_one_batch_of_items_without_models_concerns_several_tables(make: Make) -> None:
    plain, readings = make(PlainOrders), make(Readings)
    entries, wanted, items = [], [], []
    for number in range(80):
        if number % 2:
            key = {"sensor": {"N": str(number)}, "place": {"B": b"p"}}
            item, table = {**key, "value": {"S": "x"}}, readings.table_name
        else:
            key = {"customer_id": {"S": "c1"}, "order_id": {"S": str(number)}}
            item, table = {**key, "note": {"S": "y"}}, plain.table_name
        entries.append(Entry(table, key, {"PutRequest": {"Item": item}}, number))
        wanted.append(Wanted(table, key, number))
        items.append(item)
    assert plain._driver.run(batches.write(entries)) == 80
    read = plain._driver.run(batches.read(wanted, consistent=True))
    assert [None if item is None else {name: read_any(wire) for name, wire in item.items()} for item in read] == [
        {name: read_any(wire) for name, wire in item.items()} for item in items
    ]


class TestLoader:
    def test_many_loads_are_one_request(self, plain: PlainOrders) -> None:
        models = list(numbered(50))
        plain.put_many(models)
        loader = plain.loader(consistent=True)
        with requests() as sent:
            handles = [loader.load(*key) for key in keys_of(models)]
            again, missing = loader.load("c3", "o00003"), loader.load("c3", "none")
            assert sent == []
            assert handles[20].result() == models[20]
            assert [handle.result() for handle in handles] == models
            assert again.result() == models[3]
            assert missing.result() is None
            assert loader.load("c4", "o00004").result() == models[4]
        assert sent == ["BatchGetItem"]

    def test_later_loads_are_the_next_request(self, plain: PlainOrders) -> None:
        plain.put_many(list(numbered(3)))
        loader = plain.loader()
        with requests() as sent:
            first = loader.load("c0", "o00000")
            assert first.result() is not None
            second, third = loader.load("c1", "o00001"), loader.load("c2", "o00002")
            assert third.result() is not None
            assert second.result() is not None
        assert sent == ["BatchGetItem"] * 2

    def test_everybody_gets_a_model_of_their_own(self, plain: PlainOrders) -> None:
        plain.put(order())
        loader = plain.loader()
        mine, yours = loader.load("c1", "o1").result(), loader.load("c1", "o1").result()
        assert mine == yours
        assert mine is not yours

    def test_threads_share_it(self, plain: PlainOrders) -> None:
        models = list(numbered(40))
        plain.put_many(models)
        loader, barrier = plain.loader(), Barrier(8)

        def work(turn: int) -> list[Order | None]:
            handles = [loader.load(*key) for key in keys_of(models[turn:] + models[:turn])]
            barrier.wait()
            read = [handle.result() for handle in handles]
            return read[-turn:] + read[:-turn] if turn else read

        with requests() as sent, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [models] * 8
        assert sent == ["BatchGetItem"]

    def test_a_bad_key_is_refused_when_it_is_loaded(self, plain: PlainOrders) -> None:
        with pytest.raises(ValidationError):
            plain.loader().load("c1")

    def test_an_invalid_item_is_the_error_of_its_own_handle(self, plain: PlainOrders, server: Server) -> None:
        plain.put(order("c1", "good"))
        bad = {"customer_id": {"S": "c1"}, "order_id": {"S": "bad"}, "total": {"S": "much"}}
        server.client.put_item(TableName=plain.table_name, Item=bad)  # type: ignore[arg-type]
        loader = plain.loader()
        good, invalid = loader.load("c1", "good"), loader.load("c1", "bad")
        with pytest.raises(ValidationError) as caught:
            invalid.result()
        assert caught.value.context["key"] == {"customer_id": "c1", "order_id": "bad"}
        assert good.result() is not None

    def test_an_error_is_everybodys_and_the_next_load_asks_again(self, server: Server) -> None:
        plain = PlainOrders(server.config())
        loader = plain.loader()
        handles = [loader.load("c1", "o1"), loader.load("c1", "o2")]
        with requests() as sent:
            for handle in handles:
                with pytest.raises(TableNotFoundError):
                    handle.result()
        assert sent == ["BatchGetItem"]
        plain.ensure_table()
        plain.put(order())
        with pytest.raises(TableNotFoundError):
            handles[0].result()
        assert loader.load("c1", "o1").result() is not None
