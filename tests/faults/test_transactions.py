"""Transactions and unique values under every fault: all or nothing, once, and guards that agree with their items."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import (
    Add,
    ConnectionError,
    DynamoDBWrapperError,
    TransactionCanceledError,
    UniqueViolationError,
    WriteOutcomeUnknownError,
    transact_get,
    transact_write,
)
from tests import servers
from tests.contract.shop import Orders, PlainOrders, order
from tests.faults import rules
from tests.faults.bench import SHORT, Account, Accounts, Bench
from tests.faults.proxy import Fault

LOST = (*rules.BROKEN_BEFORE, *rules.BROKEN_AFTER)
TRIES = 8

pytestmark = pytest.mark.skipif("ministack" not in servers.chosen(), reason="moto ignores client tokens")


def each(faults: tuple[Fault, ...]) -> Any:
    return pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in faults])


class Purchase:
    """A transaction of four writes in two tables; how often it was applied can be seen."""

    def __init__(self, bench: Bench, **settings: Any) -> None:
        self.key = uuid4().hex
        self._bench = bench
        self._versioned, self._plain = bench.through(Orders, **settings), bench.through(PlainOrders, **settings)
        self.old = bench.behind(Orders).create(order(self.key, "old"))
        bench.behind(PlainOrders).create(order(self.key, "count"))
        bench.behind(PlainOrders).create(order(self.key, "gone"))
        self.new = order(self.key, "new")

    def make(self) -> None:
        self.old.note = "changed"
        transact_write(
            [
                self._versioned.create_request(self.new),
                self._versioned.update_request(self.old),
                self._plain.patch_request(self.key, "count", count=Add(1)),
                self._plain.delete_request(self.key, "gone"),
            ]
        )

    def times_applied(self) -> int:
        """How often it was applied; each of its writes must say the same."""
        self._bench.proxy.settle()
        orders, plain = self._bench.behind(Orders), self._bench.behind(PlainOrders)
        count = plain.get_or_raise(self.key, "count", consistent=True).count
        seen = {
            count,
            orders.get_or_raise(self.key, "old", consistent=True).version - 1,
            int(orders.exists(self.key, "new", consistent=True)),
            int(not plain.exists(self.key, "gone", consistent=True)),
        }
        assert seen == {count}, "applied in part"
        return count

    def versions(self) -> tuple[int, int]:
        return self.new.version, self.old.version


def tokens(bench: Bench) -> set[str]:
    sent = [entry for entry in bench.proxy.received if entry.operation == "TransactWriteItems"]
    return {entry.body["ClientRequestToken"] for entry in sent}


@each((*rules.REFUSALS, *LOST))
def test_a_transaction_is_applied_once(bench: Bench, fault: Fault) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(fault, "TransactWriteItems", times=2)
    purchase.make()
    assert (purchase.times_applied(), purchase.versions()) == (1, (1, 2))
    assert bench.proxy.count("TransactWriteItems") == 3
    assert len(tokens(bench)) == 1


@pytest.mark.parametrize(
    "fault", [rules.hang(applied=False), rules.hang(applied=True), rules.late()], ids=lambda f: f.name
)
def test_a_transaction_that_nobody_answers_is_applied_once(bench: Bench, fault: Fault) -> None:
    purchase = Purchase(bench, timeout_seconds=SHORT)
    bench.proxy.inject(fault, "TransactWriteItems")
    purchase.make()
    assert (purchase.times_applied(), purchase.versions()) == (1, (1, 2))


@each((rules.server_error(applied=True), rules.reset(applied=True), rules.truncated(), rules.reset(applied=False)))
def test_a_transaction_that_is_never_answered_says_so(bench: Bench, fault: Fault) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(fault, "TransactWriteItems", times=None)
    with pytest.raises(DynamoDBWrapperError) as caught:
        purchase.make()
    assert isinstance(caught.value, ConnectionError | WriteOutcomeUnknownError)
    assert caught.value.context["lost_answers"] >= 1
    assert purchase.versions() == (0, 1)
    assert purchase.times_applied() == ("before" not in fault.name)


@pytest.mark.parametrize(
    "codes", [["TransactionConflict"], ["None", "TransactionConflict"], ["ThrottlingError", "TransactionConflict"]]
)
def test_conflicts_are_waited_out(bench: Bench, codes: list[str]) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.cancelled(*codes), "TransactWriteItems", times=3)
    purchase.make()
    assert (purchase.times_applied(), purchase.versions()) == (1, (1, 2))
    assert (bench.proxy.count("TransactWriteItems"), bench.proxy.count_applied("TransactWriteItems")) == (4, 1)
    assert (len(tokens(bench)), len(bench.pauses)) == (1, 3)


def test_conflicts_without_an_end_are_given_up(bench: Bench) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.cancelled("None", "TransactionConflict"), "TransactWriteItems", times=None)
    with pytest.raises(TransactionCanceledError) as caught:
        purchase.make()
    assert [reason.code for reason in caught.value.reasons] == ["None", "TransactionConflict", "None", "None"]
    assert bench.proxy.count("TransactWriteItems") == TRIES
    assert (purchase.times_applied(), purchase.versions()) == (0, (0, 1))


@pytest.mark.parametrize(
    "codes",
    [["ConditionalCheckFailed"], ["TransactionConflict", "ConditionalCheckFailed"], ["None", "ValidationError"]],
)
def test_conditions_are_never_tried_again(bench: Bench, codes: list[str]) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.cancelled(*codes), "TransactWriteItems", times=None)
    with pytest.raises(TransactionCanceledError) as caught:
        purchase.make()
    assert [reason.code for reason in caught.value.reasons] == [*codes, *["None"] * (4 - len(codes))]
    assert bench.proxy.count("TransactWriteItems") == 1
    assert purchase.versions() == (0, 1)


def test_a_transaction_in_progress_is_waited_for(bench: Bench) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.reset(applied=True), "TransactWriteItems")
    bench.proxy.inject(rules.in_progress(), "TransactWriteItems", times=2)
    purchase.make()
    assert (purchase.times_applied(), purchase.versions(), len(tokens(bench))) == (1, (1, 2), 1)


def test_a_transaction_in_progress_for_ever_is_unknown(bench: Bench) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.in_progress(), "TransactWriteItems", times=None)
    with pytest.raises(WriteOutcomeUnknownError):
        purchase.make()
    assert bench.proxy.count("TransactWriteItems") == TRIES
    assert purchase.versions() == (0, 1)


@each((*rules.REFUSALS, *LOST, rules.emptied(), rules.cancelled("TransactionConflict")))
def test_a_transactional_read_survives(bench: Bench, fault: Fault) -> None:
    purchase = Purchase(bench)
    orders = bench.through(Orders)
    bench.proxy.inject(fault, "TransactGetItems", times=2)
    found = transact_get([orders.get_request(purchase.key, "old"), orders.get_request(purchase.key, "new")])
    assert [one and one.order_id for one in found] == ["old", None]


@pytest.mark.parametrize("body", [b"{}", b'{"Responses": []}'], ids=repr)
def test_a_transactional_read_without_an_answer_for_each_is_an_error(bench: Bench, body: bytes) -> None:
    purchase = Purchase(bench)
    bench.proxy.inject(rules.answered(body), "TransactGetItems", times=None)
    with pytest.raises(DynamoDBWrapperError):
        transact_get([bench.through(Orders).get_request(purchase.key, "old")])


# --- unique values --------------------------------------------------------------------------------------------------


def assert_guarded(bench: Bench) -> None:
    """The guards are those of the emails that accounts have, each of the right account."""
    bench.proxy.settle()
    scanned = bench.server.client.scan(TableName=bench.behind(Accounts).table_name, ConsistentRead=True)["Items"]
    guards = [item for item in scanned if item["name"]["S"].startswith("unique#")]
    emails = [item["email"]["S"] for item in scanned if item not in guards and "email" in item]
    assert len(set(emails)) == len(emails), "two accounts with the same email"
    for email in emails:
        assert sum(email in guard["name"]["S"] for guard in guards) == 1, f"{email} has no guard of its own"
    assert len(guards) == len(emails), "a guard without an account"


def an_account() -> Account:
    name = uuid4().hex
    return Account(name=name, email=f"{name}@example.org")


def change(accounts: Accounts, account: Account, way: str) -> None:
    new = f"new-{account.name}@example.org"
    if way == "create":
        accounts.create(account)
    elif way == "put":
        accounts.put(account.model_copy(update={"email": new}))
    elif way == "update":
        accounts.update(account.model_copy(update={"email": new}))
    elif way == "patch":
        accounts.patch(account.name, email=new, logins=Add(1))
    elif way == "clear":
        accounts.patch(account.name, email=None)
    else:
        accounts.delete(account.name)


WAYS = ["create", "put", "update", "patch", "clear", "delete"]


@pytest.mark.parametrize("way", WAYS)
@each((*rules.REFUSALS, *LOST, rules.cancelled("TransactionConflict")))
def test_guards_agree_after_a_fault(bench: Bench, way: str, fault: Fault) -> None:
    account = an_account()
    if way != "create":
        account = bench.behind(Accounts).create(account)
    bench.proxy.inject(fault, "TransactWriteItems", times=2)
    change(bench.through(Accounts), account, way)
    assert bench.proxy.injected.total() == 2
    stored = bench.behind(Accounts).get(account.name)
    if way == "delete":
        assert stored is None
    else:
        assert stored is not None
        assert stored.version == (1 if way == "create" else 2)
        assert stored.logins == (way == "patch")
    assert_guarded(bench)


@pytest.mark.parametrize("way", WAYS)
@each((rules.server_error(applied=True), rules.reset(applied=False), rules.truncated(), rules.throttle()))
def test_guards_agree_when_nothing_is_ever_answered(bench: Bench, way: str, fault: Fault) -> None:
    account = an_account()
    if way != "create":
        account = bench.behind(Accounts).create(account)
    bench.proxy.inject(fault, "TransactWriteItems", times=None)
    with pytest.raises(DynamoDBWrapperError) as caught:
        change(bench.through(Accounts), account, way)
    assert ("lost_answers" in caught.value.context) == (fault.name != rules.throttle().name)
    assert_guarded(bench)


@each((*rules.REFUSALS, *rules.BROKEN_BEFORE, rules.reset(applied=True), rules.truncated(), rules.corrupt()))
def test_a_taken_value_is_a_violation_whatever_fails(bench: Bench, fault: Fault) -> None:
    first, second = bench.behind(Accounts).create(an_account()), an_account()
    second.email = first.email
    bench.proxy.inject(fault, "TransactWriteItems", times=2)
    with pytest.raises(UniqueViolationError) as caught:
        bench.through(Accounts).create(second)
    assert caught.value.owner == {"name": first.name}
    assert not bench.behind(Accounts).exists(second.name)
    assert_guarded(bench)
