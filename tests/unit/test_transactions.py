"""Transaction flows driven by hand: tokens, retries, limits, and what is made of cancellation reasons."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    Add,
    BaseDynamoRepository,
    ConditionFailedError,
    ConnectionError,
    DeadlineExceededError,
    DynamoDBConfig,
    DynamoDBWrapperError,
    F,
    ItemAlreadyExistsError,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    VersionConflictError,
    WriteOutcomeUnknownError,
    transact_get,
    transact_write,
    transaction,
)
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.exceptions import CancellationReason, IdempotentParameterMismatchError, error_class_for
from dynamodb_wrapper.operations import evolving, items, patches, transactions, writes
from dynamodb_wrapper.operations.effects import Call, Effect, Flow, NewToken, Now, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.writes import Write
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver

R = TypeVar("R")

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Account(BaseModel):
    id: str
    balance: int = 0
    version: int = 0


class Accounts(BaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "id"
    version_attribute = "version"


declared = Accounts._declaration
assert declared is not None
ENTITY: Entity[Account] = Entity("accounts", declared, declared.codec_for(Account, TimeRules()))


@dataclass
class Driven(Generic[R]):
    """What a flow asked for, and how it ended."""

    effects: list[Effect]
    result: R

    @property
    def calls(self) -> list[Call]:
        return [effect for effect in self.effects if isinstance(effect, Call)]

    @property
    def sleeps(self) -> list[Sleep]:
        return [effect for effect in self.effects if isinstance(effect, Sleep)]

    @property
    def tokens(self) -> list[str]:
        return [call.params["ClientRequestToken"] for call in self.calls if "ClientRequestToken" in call.params]


def drive(flow: Flow[R], *answers: Any) -> Driven[R]:
    """Answer a flow's calls in turn, an exception is thrown into it; flows that run together run one by one."""
    remaining, effects = list(answers), list[Effect]()
    tokens = (f"token-{number}" for number in range(100))
    result = run(flow, remaining, effects, tokens)
    assert remaining == [], "the flow ended early"
    return Driven(effects, result)


def run(flow: Flow[R], remaining: list[Any], effects: list[Effect], tokens: Iterator[str]) -> R:
    outcome: Any = None
    try:
        while True:
            effect = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            match effect:
                case Now():
                    outcome = NOON
                case NewToken():
                    outcome = next(tokens)
                case Together(flows):
                    try:
                        outcome = [run(part, remaining, effects, tokens) for part in flows]
                    except DynamoDBWrapperError as error:
                        outcome = error
                case Call():
                    effects.append(effect)
                    outcome = remaining.pop(0)
                case _:
                    effects.append(effect)
                    outcome = None
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def cancelled(*codes: str | tuple[str, Any]) -> TransactionCanceledError:
    """DynamoDB's answer: a code for each action, with the stored item where there is one."""
    reasons = [
        CancellationReason(code, None if code == "None" else "why", item)
        for code, item in ((entry, None) if isinstance(entry, str) else entry for entry in codes)
    ]
    error = TransactionCanceledError("Transaction cancelled", reasons=reasons)
    return error.answered(operation="TransactWriteItems", request_id="R1", code="TransactionCanceledException")


def put(number: int, table: str = "accounts") -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"id": {"S": str(number)}}}}


def delete(key: dict[str, Any], table: str = "accounts") -> dict[str, Any]:
    return {"Delete": {"TableName": table, "Key": key}}


CONDITION = "ConditionalCheckFailed"
CONFLICT = cancelled("None", "TransactionConflict")


# --- actions on the wire ----------------------------------------------------------------------------------------------


def test_actions_go_in_one_repeatable_call_with_a_token() -> None:
    actions = [put(1), put(2)]
    driven = drive(transactions.submit(actions, None), {})
    assert driven.calls == [
        Call(
            "TransactWriteItems", {"TransactItems": [put(1), put(2)], "ClientRequestToken": "token-0"}, repeatable=True
        )
    ]
    assert actions == [put(1), put(2)]


def test_a_token_of_the_caller_is_kept() -> None:
    driven = drive(transactions.submit([put(1)], "mine", options={"ReturnConsumedCapacity": "TOTAL"}), CONFLICT, {})
    assert driven.tokens == ["mine", "mine"]
    assert driven.calls[1].params["ReturnConsumedCapacity"] == "TOTAL"


@pytest.mark.parametrize("token", ["", "x" * 37])
def test_a_token_has_1_to_36_characters(token: str) -> None:
    with pytest.raises(ValidationError, match="36"):
        drive(transactions.submit([put(1)], token))


def test_nothing_is_sent_for_nothing() -> None:
    assert drive(transactions.submit([], None)).effects == []
    assert drive(transactions.read([])).result == {"Responses": []}


@pytest.mark.parametrize(
    "error",
    [
        CONFLICT,
        cancelled("ThrottlingError", "None"),
        cancelled("ProvisionedThroughputExceeded", "TransactionConflict"),
        cancelled("RequestLimitExceeded"),
        TransactionConflictError("in progress"),
    ],
    ids=lambda error: ",".join(reason.code for reason in getattr(error, "reasons", ())) or "in progress",
)
def test_what_passes_is_waited_out_with_the_same_token(error: Exception) -> None:
    driven = drive(transactions.submit([put(1), put(2)], None), error, error, error, {"done": True})
    assert driven.result == {"done": True}
    assert driven.tokens == ["token-0"] * 4
    assert driven.sleeps == [Sleep(0.1, jittered=True), Sleep(0.2, jittered=True), Sleep(0.4, jittered=True)]
    assert all(call == driven.calls[0] for call in driven.calls)


@pytest.mark.parametrize(
    "code", [CONDITION, "ValidationError", "ItemCollectionSizeLimitExceeded", "DuplicateItem", "SomethingNew"]
)
def test_what_would_be_the_same_again_is_not_tried_again(code: str) -> None:
    error = cancelled(code, "TransactionConflict")
    with pytest.raises(TransactionCanceledError) as caught:
        drive(transactions.submit([put(1), put(2)], None), error)
    assert caught.value is error


def test_a_cancellation_without_reasons_is_not_tried_again() -> None:
    with pytest.raises(TransactionCanceledError):
        drive(transactions.submit([put(1)], None), cancelled())


def test_conflicts_that_do_not_end_are_given_up() -> None:
    with pytest.raises(TransactionCanceledError, match=r"8 tries.*TransactionConflict.*nothing was written") as caught:
        drive(transactions.submit([put(1), put(2)], None), *[CONFLICT] * 8)
    assert [reason.code for reason in caught.value.reasons] == ["None", "TransactionConflict"]
    assert (caught.value.operation, caught.value.request_id) == ("TransactWriteItems", "R1")


def test_a_transaction_that_stays_in_progress_has_an_unknown_outcome() -> None:
    with pytest.raises(WriteOutcomeUnknownError, match="in progress"):
        drive(transactions.submit([put(1)], None), *[TransactionConflictError("in progress")] * 8)


@pytest.mark.parametrize("ending", [ThrottlingError("slow down"), ConnectionError("no way there")])
def test_one_that_was_in_progress_when_the_tries_ended_has_an_unknown_outcome(ending: Exception) -> None:
    with pytest.raises(WriteOutcomeUnknownError, match="in progress") as caught:
        drive(transactions.submit([put(1)], None), TransactionConflictError("in progress"), ending)
    assert caught.value.original_error is caught.value.__cause__ is ending


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(CONFLICT, DeadlineExceededError), (TransactionConflictError("in progress"), WriteOutcomeUnknownError)],
)
def test_without_time_for_the_pause_the_last_failure_says_what_is_known(
    failure: DynamoDBWrapperError, kind: type[DynamoDBWrapperError]
) -> None:
    class Busy:
        def send(self, call: Call, time_left: float | None = None) -> dict[str, Any]:
            raise failure

    driver = SyncDriver(Busy(), RetryPolicy(jitter=lambda: 1.0), timeout=0.05, timer=lambda: 0.0)
    with pytest.raises(ConnectionError) as caught:
        driver.run(transactions.submit([put(1)]))
    assert type(caught.value) is kind
    if kind is DeadlineExceededError:
        assert caught.value.__cause__ is caught.value.original_error is failure


def test_other_errors_go_through() -> None:
    with pytest.raises(ThrottlingError):
        drive(transactions.submit([put(1)], None), ThrottlingError("slow down"))
    assert error_class_for("IdempotentParameterMismatchException") is IdempotentParameterMismatchError


def test_a_lost_answer_is_asked_for_again_with_the_same_token() -> None:
    class Lossy:
        def __init__(self) -> None:
            self.sent: list[Call] = []

        def send(self, call: Call) -> dict[str, Any]:
            self.sent.append(call)
            if len(self.sent) < 3:
                raise ConnectionError("the connection was closed before the answer had arrived")
            return {}

    lane = Lossy()
    driver = SyncDriver(lane, sleep=lambda seconds: None)
    increment = made(patches.patch_write(ENTITY, ("1", None), None, {"balance": Add(1)}, when=None, upsert=False))
    assert driver.run(transactions.write([increment])) == [None]
    assert [call.params for call in lane.sent] == [lane.sent[0].params] * 3
    assert len(lane.sent[0].params["ClientRequestToken"]) == 36


def test_reads_are_retried_like_writes() -> None:
    get = {"Get": {"TableName": "accounts", "Key": {"id": {"S": "1"}}}}
    driven = drive(transactions.read([get]), CONFLICT, {"Responses": [{}]})
    assert driven.calls == [Call("TransactGetItems", {"TransactItems": [get]})] * 2
    with pytest.raises(TransactionCanceledError):
        drive(transactions.read([get]), cancelled("ValidationError"))


def test_more_than_a_hundred_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"101 actions.*100"):
        drive(transactions.submit([put(number) for number in range(101)], None))
    drive(transactions.submit([put(number) for number in range(100)], None), {})


def test_more_than_4_megabytes_are_refused() -> None:
    large = [{"Put": {"TableName": "t", "Item": {"id": {"S": str(n)}, "x": {"S": "x" * 400_000}}}} for n in range(11)]
    with pytest.raises(ValidationError, match=r"4,400,\d+ bytes.*4,194,304"):
        drive(transactions.submit(large, None))
    drive(transactions.submit(large[:10], None), {})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (put(1), put(1)),
        (put(1), delete({"id": {"S": "1"}})),
        (delete({"id": {"S": "1"}}), put(1)),
        (delete({"a": {"S": "x"}, "n": {"N": "1"}}), delete({"n": {"N": "1.0"}, "a": {"S": "x"}})),
        (delete({"n": {"N": "1E1"}}), delete({"n": {"N": "10"}})),
        (delete({"b": {"B": b"x"}}), delete({"b": {"B": b"x"}})),
    ],
)
def test_two_actions_on_one_item_are_refused(first: Any, second: Any) -> None:
    with pytest.raises(ValidationError, match="0 and 1 are about the same item"):
        drive(transactions.submit([first, second], None))


@pytest.mark.parametrize(
    "action",
    [{}, {"Put": {}}, {**put(1), **delete({"id": {"S": "2"}})}, {"Put": None}, {"Put": {"Item": {"id": {"S": "1"}}}}],
)
def test_what_is_no_action_is_refused(action: Any) -> None:
    with pytest.raises(ValidationError, match=r"\[1\]"):
        drive(transactions.submit([put(1), action], None))


def test_other_items_are_other_items() -> None:
    others = [
        put(1),
        put(1, "other"),
        delete({"id": {"S": "2"}}),
        delete({"id": {"N": "1"}}),
        delete({"id": {"B": b"1"}}),
        delete({"n": {"N": "12345678901234567890123456789012345678"}}, "n"),
        delete({"n": {"N": "12345678901234567890123456789012345679"}}, "n"),
    ]
    assert len(drive(transactions.submit(others, None), {}).calls) == 1


# --- writes -----------------------------------------------------------------------------------------------------------


def made(flow: Flow[Write[Account]]) -> Write[Account]:
    return drive(flow).result


def test_models_move_after_the_write_and_not_before() -> None:
    new, known = Account(id="1"), Account(id="2", version=4)
    requests = [
        made(writes.creation(ENTITY, new)),
        made(writes.replacement(ENTITY, known, may_be_new=False)),
        made(patches.patch_write(ENTITY, ("3", None), None, {"balance": Add(1)}, when=None, upsert=False)),
        writes.deletion(ENTITY, ("4", None), F.balance == 0),
        writes.check(ENTITY, ("5", None), None),
    ]
    assert (new.version, known.version) == (0, 4)
    driven = drive(transactions.write(requests), {})
    assert driven.result == [new, known, None, None, None]
    assert (new.version, known.version) == (1, 5)
    (sent,) = driven.calls
    actions = sent.params["TransactItems"]
    assert [next(iter(action)) for action in actions] == ["Put", "Put", "Update", "Delete", "ConditionCheck"]
    assert actions[0]["Put"]["ConditionExpression"] == "attribute_not_exists(#n0)"
    assert actions[1]["Put"]["ConditionExpression"] == "attribute_exists(#n0) AND #n1 = :v0"
    assert actions[1]["Put"]["ExpressionAttributeValues"] == {":v0": {"N": "4"}}
    assert actions[2]["Update"]["UpdateExpression"] == "ADD #n0 :v0, #n1 :v0"
    assert "ReturnValues" not in actions[2]["Update"]
    assert actions[4]["ConditionCheck"]["ConditionExpression"] == "attribute_exists(#n0)"
    assert all(part["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" for a in actions for part in a.values())


def test_reasons_are_what_the_write_alone_would_have_raised() -> None:
    requests = [
        made(writes.creation(ENTITY, Account(id="1"))),
        made(writes.replacement(ENTITY, Account(id="2", version=1), may_be_new=True)),
        writes.check(ENTITY, ("3", None), F.balance > 5),
        writes.deletion(ENTITY, ("4", None), None),
        writes.deletion(ENTITY, ("5", None), None),
    ]
    stored = {"id": {"S": "2"}, "balance": {"N": "3"}, "version": {"N": "7"}}
    with pytest.raises(TransactionCanceledError) as caught:
        drive(
            transactions.write(requests),
            cancelled(
                (CONDITION, {"id": {"S": "1"}, "balance": {"S": "no number"}}),
                (CONDITION, stored),
                CONDITION,
                "TransactionConflict",
                "None",
            ),
        )
    reasons = caught.value.reasons
    assert [type(reason.error) for reason in reasons] == [
        ItemAlreadyExistsError,
        VersionConflictError,
        ConditionFailedError,
        TransactionConflictError,
        type(None),
    ]
    assert [reason.item for reason in reasons] == [None, Account(id="2", balance=3, version=7), None, None, None]
    assert isinstance(reasons[1].error, VersionConflictError)
    assert (reasons[1].error.key, reasons[1].error.request_id) == ({"id": "2"}, "R1")
    assert "[1] put in 'accounts' of {'id': '2'}: this model has version 1" in caught.value.message
    copied = pickle.loads(pickle.dumps(caught.value))
    assert copied.reasons[1].error.item == Account(id="2", balance=3, version=7)


def test_reasons_that_do_not_fit_the_requests_are_left_as_they_came() -> None:
    error = cancelled(CONDITION, CONDITION)
    with pytest.raises(TransactionCanceledError) as caught:
        drive(transactions.write([writes.deletion(ENTITY, ("1", None), None)]), error)
    assert caught.value is error


def test_conflicts_of_writes_keep_the_token_and_are_named_in_the_end() -> None:
    request = writes.deletion(ENTITY, ("1", None), None)
    driven = drive(transactions.write([request]), *[cancelled("TransactionConflict")] * 3, {})
    assert driven.tokens == ["token-0"] * 4
    with pytest.raises(TransactionCanceledError, match=r"\[0\] delete.*after 8 tries") as caught:
        drive(transactions.write([request]), *[cancelled("TransactionConflict")] * 8)
    assert isinstance(caught.value.reasons[0].error, TransactionConflictError)


def test_two_requests_about_one_item_are_refused() -> None:
    requests = [made(writes.creation(ENTITY, Account(id="1"))), writes.deletion(ENTITY, ("1", None), None)]
    with pytest.raises(ValidationError, match="0 and 1"):
        drive(transactions.write(requests))
    puts = [made(writes.replacement(ENTITY, Account(id="1", balance=n), may_be_new=True)) for n in (1, 2)]
    with pytest.raises(ValidationError, match="0 and 1"):
        drive(transactions.write(puts))


def test_reading_gives_models_in_order() -> None:
    reads = [
        items.whole(ENTITY, ("1", None)),
        items.whole(ENTITY, ("2", None)),
        items.partial(ENTITY, ("3", None), ["balance"]),
    ]
    answer = {
        "Responses": [
            {"Item": {"id": {"S": "1"}, "balance": {"N": "5"}}},
            {},
            {"Item": {"id": {"S": "3"}, "balance": {"N": "6"}}},
        ]
    }
    driven = drive(evolving.get(reads), answer)
    assert driven.result == [Account(id="1", balance=5), None, {"balance": 6}]
    (sent,) = driven.calls
    assert "ConsistentRead" not in sent.params["TransactItems"][0]["Get"]
    assert sent.params["TransactItems"][2]["Get"]["ProjectionExpression"] == "#n0, #n1"


def test_transactions_have_limits_of_their_own() -> None:
    repository = Accounts(DynamoDBConfig.embedded())
    repository.ensure_table()
    repository.create(Account(id="c"))
    with pytest.raises(DeadlineExceededError):
        transact_write([repository.check_request("c")], timeout=1e-9)
    with pytest.raises(DeadlineExceededError):
        transact_get([repository.get_request("c")], timeout=1e-9)
    with pytest.raises(DeadlineExceededError), transaction(timeout=1e-9) as tx:
        tx.write(repository.check_request("c"))
    assert transact_get([repository.get_request("c")], timeout=30, max_attempts=1)[0] is not None
    with pytest.raises(ValidationError, match="max_attempts"):
        transact_get([repository.get_request("c")], max_attempts=0)
