"""A repository of several models: a discriminated union."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, DeclarationError, F, Remove, transact_get
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ExpressionError,
    ItemNotFoundError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import Make, stored
from tests.servers import Server

TABLE = SingleTable("payments", indexes={"gsi1": ("gsi1pk", "gsi1sk")})


class Payment(BaseModel):
    account: str
    payment_id: str
    amount: int = 0
    version: int = 0


class Card(Payment):
    method: Literal["card"] = "card"
    last_four: str
    note: str | None = None


class Transfer(Payment):
    method: Literal["transfer", "sepa"] = "transfer"
    iban: str
    batch: int = 0


class Refund(BaseModel):
    account: str
    refund_id: str


AnyPayment = Annotated[Card | Transfer, Field(discriminator="method")]


class Payments(BaseDynamoRepository[AnyPayment]):
    table_name = "payments-alone"
    primary_key = "account"
    sort_key = "payment_id"
    version_attribute = "version"
    by_method = AccessPattern("by_method", partition="method", sort="amount")


class SharedPayments(BaseDynamoRepository[AnyPayment]):
    single_table = TABLE
    kind = "payment"
    primary_key = Key("ACCOUNT#{account}")
    sort_key = Key("PAYMENT#{payment_id}")
    by_iban = AccessPattern("gsi1", partition=Key("IBAN#{iban}"), sort=Key("{payment_id}"))


class Refunds(BaseDynamoRepository[Refund]):
    single_table = TABLE
    primary_key = Key("ACCOUNT#{account}")
    sort_key = Key("REFUND#{refund_id}")


class AccountItems(Collection):
    payments: list[Card | Transfer]
    refunds: list[Refund]


def card(payment_id: str = "p1", **fields: Any) -> Card:
    return Card(account="a", payment_id=payment_id, last_four="1234", **fields)


def transfer(payment_id: str = "p2", **fields: Any) -> Transfer:
    return Transfer(account="a", payment_id=payment_id, iban="DE1", **fields)


def test_each_comes_back_as_what_it_is(make: Make) -> None:
    payments = make(Payments)
    written = [payments.create(card(amount=1)), payments.create(transfer(amount=2, method="sepa"))]
    assert [type(payment) for payment in payments.query("a")] == [Card, Transfer]
    assert payments.query("a").all() == payments.get_many([("a", "p1"), ("a", "p2")]) == written
    assert [payments.get("a", "p1"), payments.get("a", "p3")] == [written[0], None]
    assert transact_get([payments.get_request("a", "p2")]) == [written[1]]
    assert payments.by_method("sepa").all() == [written[1]]
    assert payments.query("a").where(F.iban == "DE1").all() == [written[1]]
    assert dict(payments.get("a", "p2", attributes=["iban", "amount"]) or {}) == {"iban": "DE1", "amount": 2}


def test_writes_of_any(make: Make) -> None:
    payments = make(Payments)
    first = payments.create(card())
    stale = first.model_copy()
    first.amount = 5
    payments.update(first)
    with pytest.raises(VersionConflictError) as conflict:
        payments.update(stale)
    assert isinstance(conflict.value.item, Card)
    assert payments.patch("a", "p1", amount=9, note="x") == first.model_copy(
        update={"amount": 9, "note": "x", "version": 3}
    )
    with pytest.raises(ExpressionError, match="says which model"):
        payments.patch("a", "p1", method="transfer")
    with pytest.raises(ExpressionError, match="nothing says which"):
        payments.patch("a", "p9", upsert=True, amount=1)
    with pytest.raises(ValidationError, match=r"expected a Card \| Transfer"):
        payments.create(Refund(account="a", refund_id="r"))  # type: ignore[type-var]


def test_a_patch_of_a_field_is_of_the_models_that_have_it(make: Make, server: Server) -> None:
    payments = make(Payments)
    payments.create(card())
    payments.create(transfer())
    assert payments.patch("a", "p2", iban="DE2", amount=3) == payments.get("a", "p2")
    for name, change in (("last_four", {"last_four": "9"}), ("note", {"note": Remove, "amount": 4})):
        with pytest.raises(ConditionFailedError, match=f"the item is a Transfer, which has no {name}") as failed:
            payments.patch("a", "p2", **change)
        assert failed.value.item == payments.get("a", "p2")
    for nothing in (Remove, None):
        with pytest.raises(ExpressionError, match="required"):
            payments.patch("a", "p1", last_four=nothing)
    assert "last_four" not in stored(server, payments, account="a", payment_id="p2")
    with pytest.raises(ExpressionError, match=r"no model of Card \| Transfer has all of"):
        payments.patch("a", "p2", last_four="9", iban="x")
    with pytest.raises(ItemNotFoundError):
        payments.patch("a", "p3", last_four="9")
    assert payments.patch("a", "p1", last_four="9", when=F.last_four == "1234").amount == 0


def test_an_item_of_no_known_model_is_an_error(make: Make, server: Server) -> None:
    payments = make(Payments)
    item = {"account": {"S": "a"}, "payment_id": {"S": "p"}, "method": {"S": "cash"}}
    server.client.put_item(TableName=payments.table_name, Item=item)
    with pytest.raises(ValidationError, match="'cash' is none of 'card', 'transfer', 'sepa'"):
        payments.get("a", "p")


def test_a_union_beside_others_in_one_table(make: Make) -> None:
    payments, refunds = make(SharedPayments), make(Refunds)
    payments.put_many([card(), transfer()])
    refunds.create(Refund(account="a", refund_id="r"))
    found = refunds.collection(AccountItems, "a").all()
    assert (found.payments, len(found.refunds), found.unknown) == ([card(), transfer()], 1, [])
    assert payments.by_iban("DE1").all() == [transfer()]
    payments.patch("a", "p2", iban="DE2")
    assert payments.by_iban("DE2").one().payment_id == "p2"


class Nameless(BaseModel):
    account: str
    method: str


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Card | Transfer, "needs a field that says"),
        (Annotated[Card | Nameless, Field(discriminator="method")], "is a Literal"),
        (Annotated[Card | Refund, Field(discriminator="method")], "is a Literal"),
    ],
)
def test_a_union_that_cannot_be_told_apart_is_refused(model: Any, reason: str) -> None:
    body = {"table_name": "t", "model_class": model, "primary_key": "account"}
    with pytest.raises(DeclarationError, match=reason):
        type(BaseDynamoRepository)("Declared", (BaseDynamoRepository,), body)


def test_a_union_in_a_shared_table_has_a_kind() -> None:
    body = {
        "single_table": SingleTable("t"),
        "model_class": AnyPayment,
        "primary_key": Key("{account}"),
        "sort_key": Key("{payment_id}"),
    }
    with pytest.raises(DeclarationError, match="declare the kind"):
        type(BaseDynamoRepository)("Declared", (BaseDynamoRepository,), body)
