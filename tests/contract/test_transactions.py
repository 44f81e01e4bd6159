"""Transactions on real servers: all or nothing, over several tables, with a reason for every request."""

from __future__ import annotations

import pickle
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from dynamodb_wrapper import (
    Add,
    Append,
    BaseDynamoRepository,
    ConditionFailedError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    Remove,
    TransactionCanceledError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.repositories.transactions import transact_get, transact_write, transaction
from tests.contract.shop import Make, Order, Orders, PlainOrders, Status, order, requests, stored
from tests.servers import Server


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    version: int = 0
    updated_at: datetime | None = None


class Frozens(BaseDynamoRepository[Frozen]):
    table_name = "frozen"
    primary_key = "id"
    version_attribute = "version"


def test_writes_of_every_kind_go_together(make: Make) -> None:
    orders, plain = make(Orders), make(PlainOrders)
    orders.create(order(order_id="patched", count=1, words=["a"], note="x"))
    updated = orders.create(order(order_id="updated"))
    orders.create(order(order_id="deleted"))
    orders.create(order(order_id="checked", status=Status.PAID))
    updated.total = Decimal(5)
    created, put = order(order_id="created"), order(order_id="put", active=True)
    with requests() as sent:
        results = transact_write(
            [
                orders.create_request(created),
                plain.put_request(put),
                orders.update_request(updated),
                orders.patch_request("c1", "patched", count=Add(2), words=Append("b"), note=Remove()),
                orders.delete_request("c1", "deleted"),
                orders.check_request("c1", "checked", when=F.status == "paid"),
                plain.delete_request("c1", "never there"),
            ]
        )
    assert sent == ["TransactWriteItems"]
    assert results[0] is created
    assert results[1] is put
    assert results[2] is updated
    assert results[3:] == [None] * 4
    assert (created.version, updated.version) == (1, 2)
    assert orders.get_or_raise("c1", "created") == created
    assert plain.get_or_raise("c1", "put") == put
    assert [found.order_id for found in plain.active("yes")] == ["put"]
    assert orders.get_or_raise("c1", "updated") == updated
    patched = orders.get_or_raise("c1", "patched")
    assert (patched.count, patched.words, patched.note, patched.version) == (3, ["a", "b"], None, 2)
    assert not orders.exists("c1", "deleted")


def test_one_false_condition_cancels_all_and_every_request_has_its_reason(make: Make) -> None:
    orders, plain = make(Orders), make(PlainOrders)
    there = orders.create(order(order_id="there", note="first"))
    plain.put(order(order_id="plain", count=7))
    stale = there.model_copy()
    orders.patch("c1", "there", note="second")
    innocent, twice = order(order_id="innocent"), order(order_id="plain")
    with pytest.raises(TransactionCanceledError) as caught:
        transact_write(
            [
                orders.create_request(innocent),
                orders.update_request(stale),
                plain.create_request(twice),
                orders.patch_request("c1", "missing", count=Add(1)),
                plain.check_request("c1", "missing"),
                plain.delete_request("c1", "other", when=F.count > 5),
            ]
        )
    reasons = caught.value.reasons
    assert [reason.code for reason in reasons] == ["None"] + ["ConditionalCheckFailed"] * 5
    kinds = [VersionConflictError, ItemAlreadyExistsError, ItemNotFoundError, ItemNotFoundError, ConditionFailedError]
    assert [type(reason.error) for reason in reasons[1:]] == kinds
    assert reasons[0].error is None
    assert isinstance(reasons[1].item, Order)
    assert (reasons[1].item.note, reasons[2].item.count, reasons[3].item) == ("second", 7, None)
    assert isinstance(reasons[1].error, VersionConflictError)
    assert reasons[1].error.item.version == 2
    assert caught.value.code == "TransactionCanceledException"
    for named in ("[1] put", "[2] put", "[3] update", "[4] check", "[5] delete", "this model has version 1"):
        assert named in str(caught.value)
    assert "[0]" not in str(caught.value)
    # Nothing was written, and no model moved.
    assert not orders.exists("c1", "innocent")
    assert (innocent.version, innocent.created_at, stale.version) == (0, None, 1)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert [(reason.code, type(reason.error)) for reason in copied.reasons] == [
        (reason.code, type(reason.error)) for reason in reasons
    ]


def test_an_optimistic_lock_holds_on_update_and_delete(make: Make) -> None:
    orders = make(Orders)
    mine = orders.create(order())
    orders.patch("c1", "o1", note="by another")
    with pytest.raises(TransactionCanceledError):
        transact_write([orders.delete_request("c1", "o1", when=F.version == mine.version)])
    with pytest.raises(TransactionCanceledError):
        transact_write([orders.put_request(mine)])
    assert orders.get_or_raise("c1", "o1").note == "by another"
    assert transact_write([orders.delete_request("c1", "o1", when=F.version == 2)]) == [None]
    assert not orders.exists("c1", "o1")


def test_a_request_is_what_the_model_was_when_it_was_made(make: Make) -> None:
    orders = make(Orders)
    model, words = order(note="then"), ["a"]
    request = orders.put_request(model)
    model.note = "now"
    orders.create(order(order_id="o2"))
    patch = orders.patch_request("c1", "o2", {F.prices["x"]: Decimal(1)}, words=words)
    words.append("b")
    with pytest.raises(TransactionCanceledError):  # there is none to patch
        transact_write([request, orders.patch_request("c1", "missing", note="x")])
    transact_write([request, patch])
    assert orders.get_or_raise("c1", "o1").note == "then"
    changed = orders.get_or_raise("c1", "o2")
    assert (changed.words, changed.prices) == (["a"], {"x": Decimal(1)})


def test_a_frozen_model_comes_back_as_a_copy(make: Make) -> None:
    frozen = make(Frozens)
    given = Frozen(id="1")
    (result,) = transact_write([frozen.create_request(given)])
    assert result is not None
    assert (given.version, result.version) == (0, 1)
    assert frozen.get("1") == result


def test_a_hundred_go_and_one_more_does_not(make: Make, server: Server) -> None:
    plain = make(PlainOrders)
    hundred = [plain.put_request(order(order_id=str(number))) for number in range(100)]
    with requests() as sent, pytest.raises(ValidationError, match=r"101 actions.*100"):
        transact_write([*hundred, plain.put_request(order(order_id="100"))])
    assert sent == []
    assert len(transact_write(hundred)) == 100
    assert plain.count() == 100


def test_a_hundred_are_read_together(make: Make) -> None:
    plain = make(PlainOrders)
    transact_write([plain.put_request(order(order_id=str(number))) for number in range(100)])
    found = transact_get([plain.get_request("c1", str(number)) for number in reversed(range(100))])
    assert [entry.order_id for entry in found if entry] == [str(number) for number in reversed(range(100))]


def test_reading_together(make: Make) -> None:
    orders, plain = make(Orders), make(PlainOrders)
    first, second = orders.create(order()), plain.create(order(order_id="o2", count=2, note="n"))
    assert transact_get(
        [plain.get_request("c1", "o2"), plain.get_request("c1", "none"), orders.get_request("c1", "o1")]
    ) == [second, None, first]
    (partial,) = transact_get([plain.get_request("c1", "o2", attributes=["count"])])
    assert partial is not None
    assert dict(partial) == {"count": 2}
    assert transact_get([]) == []
    with pytest.raises(ValidationError, match="same item"):
        transact_get([plain.get_request("c1", "o2"), plain.get_request("c1", "o2")])


def test_an_item_that_is_no_model_is_named(make: Make, server: Server) -> None:
    plain = make(PlainOrders)
    key = {"customer_id": {"S": "c1"}, "order_id": {"S": "bad"}}
    server.client.put_item(TableName=plain.table_name, Item={**key, "count": {"S": "many"}})
    with pytest.raises(ValidationError, match="count") as caught:
        transact_get([plain.get_request("c1", "bad")])
    assert caught.value.context["key"] == {"customer_id": "c1", "order_id": "bad"}


def test_the_block_sends_once_at_its_end(make: Make) -> None:
    orders, plain = make(Orders), make(PlainOrders)
    created = order()
    with requests() as sent:
        with transaction() as tx:
            tx.write(orders.create_request(created), plain.put_request(order(order_id="o2")))
            with transaction() as inner:
                inner.write(plain.put_request(order(order_id="inner")))
            assert sent == ["TransactWriteItems"]
            tx.write(plain.put_request(order(order_id="o3")))
            with pytest.raises(ValidationError, match="ended well"):
                _ = tx.results
        assert sent == ["TransactWriteItems"] * 2
    assert tx.results[0] is created
    assert len(tx.results) == 3
    assert {found.order_id for found in plain.list_all()} == {"inner", "o2", "o3"}


def test_a_body_that_raises_sends_nothing(make: Make) -> None:
    orders = make(Orders)
    tx = transaction()

    def body() -> None:
        with tx:
            tx.write(orders.create_request(order()))
            raise KeyError("body")

    with requests() as sent, pytest.raises(KeyError, match="body"):
        body()
    assert sent == []
    with pytest.raises(ValidationError, match="over"):
        tx.write(orders.create_request(order()))
    with pytest.raises(ValidationError, match="another"), tx:
        pass


def test_nothing_to_do_is_done(make: Make) -> None:
    with requests() as sent:
        assert transact_write([]) == []
        with transaction() as tx:
            pass
    assert (sent, tx.results) == ([], [])


def test_what_is_wrong_is_refused_before_anything_is_sent(make: Make, server: Server) -> None:
    orders, plain = make(Orders), make(PlainOrders)
    elsewhere = PlainOrders(server.config(timeout_seconds=7.5))
    wrong: list[Any] = [
        ([orders.put_request(order()), orders.delete_request("c1", "o1")], "same item"),
        ([orders.put_request(order()), orders.create_request(order())], "same item"),
        ([orders.put_request(order()), order()], "put_request"),
        ([plain.get_request("c1", "o1")], "put_request"),
        ([plain.put_request(order()), elsewhere.put_request(order(order_id="o2"))], "different ones"),
    ]
    with requests() as sent:
        for entries, message in wrong:
            with pytest.raises(ValidationError, match=message):
                transact_write(entries)
        large = [plain.put_request(order(order_id=str(number), note="x" * 390_000)) for number in range(11)]
        with pytest.raises(ValidationError, match="4,194,304"):
            transact_write(large)
        with pytest.raises(ValidationError, match="nothing"):
            plain.check_request("c1", "o1", when=F.nothing == 1)
        with pytest.raises(ValidationError, match="count"):
            plain.patch_request("c1", "o1", count="many")
    assert sent == []


def test_one_configuration_with_two_prefixes_is_one_connection(make: Make, server: Server) -> None:
    first = make(PlainOrders)
    second = make(PlainOrders, environment="staging")
    transact_write([first.put_request(order()), second.put_request(order(note="staging"))])
    assert stored(server, second, customer_id="c1", order_id="o1")["note"] == {"S": "staging"}
    assert first.get_or_raise("c1", "o1").note is None
