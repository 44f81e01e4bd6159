"""The fixtures of the testing kit, used as its users do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    DynamoDBConfig,
    DynamoDBSingleton,
    get_table,
    transact_write,
)
from dynamodb_wrapper import exceptions as errors
from dynamodb_wrapper.testing import Clock, Faults, Requests, Tables
from dynamodb_wrapper.transport import configure


class Account(BaseModel):
    id: str
    balance: Decimal = Decimal(0)
    status: str = "open"
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class Accounts(BaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "id"
    ttl_attribute = "expires_at"
    by_status = AccessPattern("by_status", partition="status", sort="id")


class AsyncAccounts(AsyncBaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "id"
    ttl_attribute = "expires_at"
    by_status = AccessPattern("by_status", partition="status", sort="id")


class Counter(BaseModel):
    id: str
    n: int = 0


class Counters(BaseDynamoRepository[Counter]):
    table_name = "counters"
    primary_key = "id"


class Blob(BaseModel):
    id: bytes


class Blobs(BaseDynamoRepository[Blob]):
    table_name = "blobs"
    primary_key = "id"


@pytest.fixture
def accounts(dynamodb_tables: Tables) -> Accounts:
    (accounts,) = dynamodb_tables(Accounts)
    return accounts


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- each test has a server of its own --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(3))
def test_alone(accounts: Accounts, n: int) -> None:
    assert accounts.count() == 0
    accounts.create(Account(id="a"))


def test_one_server_for_all_repositories(
    accounts: Accounts, dynamodb_tables: Tables, dynamodb_config: DynamoDBConfig
) -> None:
    counters, same = dynamodb_tables(Counters, Accounts)
    same.put(Account(id="a"))
    assert accounts.get("a") == Accounts(dynamodb_config).get("a") is not None
    assert counters.get("a") is None


# --- throttling is retried, and nobody waits --------------------------------------------------------------------------


def test_throttled(
    accounts: Accounts, dynamodb_faults: Faults, dynamodb_clock: Clock, dynamodb_requests: Requests
) -> None:
    dynamodb_faults.throttle(2)
    accounts.put(Account(id="a"))
    assert accounts.exists("a")
    assert dynamodb_clock.sleeps == [1, 2]
    assert [request.outcome for request in dynamodb_requests.of("PutItem")] == [
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceededException",
        "ok",
    ]


def test_throttled_for_good(accounts: Accounts, dynamodb_faults: Faults) -> None:
    fault = dynamodb_faults.throttle(None, retry_after_seconds=3)
    with pytest.raises(errors.ThrottlingError) as caught:
        accounts.put(Account(id="a"))
    assert caught.value.context["attempts"] == fault.befell == 4
    assert caught.value.reasons[0].reason == "TableWriteProvisionedThroughputExceeded"
    dynamodb_faults.clear()
    assert accounts.count() == 0


def test_waits_as_long_as_asked(accounts: Accounts, dynamodb_faults: Faults, dynamodb_clock: Clock) -> None:
    dynamodb_faults.throttle(1, retry_after_seconds=3)
    accounts.get("a")
    assert dynamodb_clock.sleeps == [3]


# --- a lost answer ----------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_not_applied_twice(accounts: Accounts, dynamodb_faults: Faults) -> None:
    accounts.put(Account(id="a"))
    dynamodb_faults.lose_response_of("UpdateItem")
    accounts.patch("a", balance=Add(5))
    assert accounts.get("a").balance == 5


def test_nobody_knows(dynamodb_tables: Tables, dynamodb_faults: Faults, dynamodb_requests: Requests) -> None:
    (counters,) = dynamodb_tables(Counters)
    counters.put(Counter(id="c"))
    for fault, expected in ((dynamodb_faults.lose_response_of, 1), (dynamodb_faults.lose_request_of, 1)):
        fault("UpdateItem")
        with pytest.raises(errors.WriteOutcomeUnknownError):
            counters.patch("c", n=Add(1))
        assert counters.get("c").n == expected


def test_a_transaction_whose_answers_are_lost_is_done_once(
    dynamodb_tables: Tables, dynamodb_faults: Faults, dynamodb_requests: Requests
) -> None:
    accounts, counters = dynamodb_tables(Accounts, Counters)
    dynamodb_faults.lose_response_of("TransactWriteItems", 2)
    with dynamodb_requests.assert_requests(exactly=3):
        transact_write([accounts.create_request(Account(id="a")), counters.patch_request("a", upsert=True, n=Add(1))])
    assert counters.get_or_raise("a").n == 1


def test_server_error(dynamodb_tables: Tables, dynamodb_faults: Faults) -> None:
    (counters,) = dynamodb_tables(Counters)
    dynamodb_faults.server_error(2, applied=True)
    dynamodb_faults.unavailable()
    counters.put(Counter(id="c"))
    assert counters.count() == 1


def test_damaged_on_the_way(accounts: Accounts, dynamodb_faults: Faults, dynamodb_requests: Requests) -> None:
    accounts.put(Account(id="a"))
    dynamodb_faults.damage_response_of("GetItem")
    assert accounts.get("a") is not None
    assert [request.outcome for request in dynamodb_requests.of("GetItem")] == ["CorruptResponseError", "ok"]


# --- batches ----------------------------------------------------------------------------------------------------------


def test_leftovers_are_sent_again(accounts: Accounts, dynamodb_faults: Faults, dynamodb_requests: Requests) -> None:
    dynamodb_faults.leave_unprocessed(3)
    dynamodb_faults.leave_unprocessed(operation="BatchWriteItem", skip=1)
    accounts.put_many(Account(id=str(n)) for n in range(30))
    assert accounts.count() == 30
    dynamodb_faults.leave_unprocessed(1, 2)
    found = accounts.get_many([str(n) for n in range(5)])
    assert [account.id for account in found] == list("01234")


def test_binary_leftovers(dynamodb_tables: Tables, dynamodb_faults: Faults) -> None:
    (blobs,) = dynamodb_tables(Blobs)
    dynamodb_faults.leave_unprocessed(None, 2)
    blobs.put_many([Blob(id=b"1"), Blob(id=b"2")])
    assert [blob and blob.id for blob in blobs.get_many([b"2", b"3"])] == [b"2", None]


def test_leftovers_for_good(accounts: Accounts, dynamodb_faults: Faults) -> None:
    dynamodb_faults.leave_unprocessed(2, None)
    with pytest.raises(errors.BatchIncompleteError) as caught:
        accounts.put_many(Account(id=str(n)) for n in range(5))
    assert len(caught.value.unprocessed) == 2
    dynamodb_faults.clear()
    assert accounts.count() == 3


# --- transactions and conflicts ---------------------------------------------------------------------------------------


def test_conflict(accounts: Accounts, dynamodb_faults: Faults, dynamodb_requests: Requests) -> None:
    dynamodb_faults.conflict()
    accounts.put(Account(id="a"))
    dynamodb_faults.conflict(2, operation="TransactWriteItems")
    transact_write([accounts.put_request(Account(id="b"))])
    assert len(dynamodb_requests.of("TransactWriteItems")) == 3
    assert accounts.count() == 2


def test_condition(accounts: Accounts, dynamodb_faults: Faults) -> None:
    dynamodb_faults.cancel_transaction("None", "ConditionalCheckFailed")
    with pytest.raises(errors.TransactionCanceledError) as caught:
        transact_write([accounts.put_request(Account(id="b")), accounts.put_request(Account(id="c"))])
    assert [reason.code for reason in caught.value.reasons] == ["None", "ConditionalCheckFailed"]


# --- the network and time ---------------------------------------------------------------------------------------------


def test_refused_connection(accounts: Accounts, dynamodb_faults: Faults) -> None:
    dynamodb_faults.refuse_connection(None, operation="GetItem")
    accounts.put(Account(id="a"))
    with pytest.raises(errors.ConnectionError, match="could not be reached"):
        accounts.get("a")


def test_slow(accounts: Accounts, dynamodb_faults: Faults, dynamodb_clock: Clock) -> None:
    before = dynamodb_clock.now
    dynamodb_faults.slow(4)
    accounts.put(Account(id="a"))
    assert dynamodb_clock.now - before == timedelta(seconds=4)


@pytest.mark.dynamodb_config(deadline_seconds=2.5, retries=0)
def test_too_slow(accounts: Accounts, dynamodb_faults: Faults, dynamodb_clock: Clock) -> None:
    assert accounts.config.deadline_seconds == 2.5
    before = dynamodb_clock.now
    dynamodb_faults.slow(4, operation="GetItem")
    with pytest.raises(errors.DeadlineExceededError):
        accounts.get("a")
    assert dynamodb_clock.now - before == timedelta(seconds=2.5)
    dynamodb_faults.slow(4)
    with pytest.raises(errors.WriteOutcomeUnknownError):
        accounts.put(Account(id="a"))
    assert accounts.exists("a")


@pytest.mark.dynamodb_config(retries=0)
def test_time_out(accounts: Accounts, dynamodb_faults: Faults) -> None:
    dynamodb_faults.time_out(2)
    with pytest.raises(errors.ConnectionError, match=r"did not answer .* within 10 s"):
        accounts.get("a")
    with pytest.raises(errors.WriteOutcomeUnknownError):
        accounts.put(Account(id="a"))
    assert not accounts.exists("a")


def test_any_refusal(accounts: Accounts, dynamodb_faults: Faults) -> None:
    dynamodb_faults.refuse("AccessDeniedException", "no", operation="Query")
    with pytest.raises(errors.DynamoDBWrapperError, match="no") as caught:
        accounts.by_status("open").first()
    assert caught.value.code == "AccessDeniedException"


# --- the clock --------------------------------------------------------------------------------------------------------


def test_updated_at(accounts: Accounts, dynamodb_clock: Clock) -> None:
    dynamodb_clock.set(datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert accounts.create(Account(id="a")).updated_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    dynamodb_clock.move(timedelta(hours=1))
    assert accounts.patch("a", balance=1).updated_at == datetime(2026, 1, 1, 13, tzinfo=UTC)


def test_ttl(accounts: Accounts, dynamodb_clock: Clock, dynamodb_tables: Tables, dynamodb_requests: Requests) -> None:
    accounts.put(Account(id="a", expires_at=dynamodb_clock.now + timedelta(seconds=5)))
    accounts.put(Account(id="b"))
    assert dynamodb_tables.expire(accounts) == 0
    dynamodb_clock.move(7)
    assert dynamodb_tables.expire(accounts) == 1
    assert [account.id for account in accounts.list_all()] == ["b"]
    assert len(dynamodb_requests.all) == 3


def test_it_goes_on_until_it_is_asked_for(accounts: Accounts) -> None:
    before = datetime.now(UTC)
    assert before <= accounts.create(Account(id="a")).updated_at <= datetime.now(UTC)


def test_it_moves_forward(dynamodb_clock: Clock) -> None:
    with pytest.raises(ValueError, match="forward only"):
        dynamodb_clock.move(-1)
    with pytest.raises(ValueError, match="no timezone"):
        dynamodb_clock.set(datetime(2026, 1, 1))  # noqa: DTZ001


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_garbage(accounts: Accounts, dynamodb_tables: Tables) -> None:
    dynamodb_tables.store(accounts, {"id": "a", "balance": "much"})
    with pytest.raises(errors.ValidationError, match="no valid Account"):
        accounts.get("a")
    assert dynamodb_tables.stored(accounts) == [{"id": "a", "balance": "much"}]


# --- requests ---------------------------------------------------------------------------------------------------------


def test_budget(accounts: Accounts, dynamodb_requests: Requests) -> None:
    with dynamodb_requests.assert_requests(max=2) as made:
        accounts.put(Account(id="a"))
        assert made == []
    assert [request.operation for request in made] == ["PutItem"]
    assert made[0].key == {"id": "a"}
    assert made[0].table_name == accounts.table_name
    with dynamodb_requests.assert_requests(exactly=0):
        pass
    dynamodb_requests.clear()
    assert dynamodb_requests.all == []


def test_what_is_no_budget(dynamodb_requests: Requests) -> None:
    with pytest.raises(ValueError, match="takes max"), dynamodb_requests.assert_requests():
        pass


# --- async ------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_throttled_on_an_event_loop(
    dynamodb_tables: Tables, dynamodb_faults: Faults, dynamodb_clock: Clock, dynamodb_requests: Requests
) -> None:
    accounts, counters = dynamodb_tables(AsyncAccounts, Counters)
    dynamodb_faults.throttle(1, table=accounts)
    dynamodb_faults.refuse_connection(1, table=accounts.table_name)
    counters.put(Counter(id="c"))
    await accounts.put(Account(id="a"))
    assert dynamodb_clock.sleeps == [1, 0.05]
    dynamodb_faults.leave_unprocessed(3, 2)
    await accounts.put_many(Account(id=str(n)) for n in range(30))
    with dynamodb_requests.assert_requests(exactly=1):
        assert await accounts.count() == 31


@pytest.mark.anyio
@pytest.mark.dynamodb_config(deadline_seconds=2)
async def test_too_slow_on_an_event_loop(
    dynamodb_tables: Tables, dynamodb_faults: Faults, dynamodb_clock: Clock
) -> None:
    (accounts,) = dynamodb_tables(AsyncAccounts)
    dynamodb_faults.slow(3)
    with pytest.raises(errors.DeadlineExceededError):
        await accounts.get("a")


# --- code that makes its configuration itself -------------------------------------------------------------------------


@pytest.mark.dynamodb_config(table_prefix="mine")
def test_environment(
    dynamodb_environment: DynamoDBConfig, dynamodb_tables: Tables, dynamodb_faults: Faults, dynamodb_requests: Requests
) -> None:
    dynamodb_tables(Accounts)
    dynamodb_faults.throttle(1)
    own = Accounts(DynamoDBConfig.from_env())
    assert own.table_name == "mine_dev_accounts"
    own.put(Account(id="a"))
    assert len(dynamodb_requests.all) == 2


def test_the_default_of_the_process(dynamodb_environment: DynamoDBConfig, accounts: Accounts) -> None:
    get_table("dev_accounts").put_item(Item={"id": "a"})
    assert accounts.exists("a")


def test_the_default_is_put_back(request: pytest.FixtureRequest) -> None:
    before = DynamoDBConfig.embedded("mine")
    configure(before)
    assert request.getfixturevalue("dynamodb_environment") is DynamoDBSingleton().config is not before
    request.addfinalizer(lambda: configure(None))


# --- other settings, the same server ----------------------------------------------------------------------------------


def test_other_settings(accounts: Accounts, dynamodb_config: DynamoDBConfig, dynamodb_faults: Faults) -> None:
    other = Accounts(dynamodb_config.model_copy(update={"retries": 0}))
    dynamodb_faults.throttle(1)
    with pytest.raises(errors.ThrottlingError):
        other.get("a")


# --- boto3 of users goes past faults ----------------------------------------------------------------------------------


def test_boto3(accounts: Accounts, dynamodb_requests: Requests) -> None:
    accounts.table.put_item(Item={"id": "a"})
    assert accounts.exists("a")
    assert len(dynamodb_requests.all) == 1


# --- a mistake in a fault ---------------------------------------------------------------------------------------------


def test_mistakes(dynamodb_faults: Faults) -> None:
    with pytest.raises(ValueError, match="leave_unprocessed cannot befall 'PutItem'"):
        dynamodb_faults.leave_unprocessed(operation="PutItem")
    with pytest.raises(ValueError, match="cannot befall 'Putitem'"):
        dynamodb_faults.throttle(operation="Putitem")
    for name, wrong in WRONG_OPTIONS:
        with pytest.raises(ValueError, match=f"{name} is"):
            dynamodb_faults.throttle(**{name: wrong})
    with pytest.raises(ValueError, match="at least one"):
        dynamodb_faults.leave_unprocessed(0)
    with pytest.raises(ValueError, match="seconds is -1"):
        dynamodb_faults.slow(-1)
    with pytest.raises(ValueError, match="status is 200"):
        dynamodb_faults.refuse("AccessDeniedException", status=200)
    for codes in ((), ("None",), ("ConditionFailed",), (None, "TransactionConflict")):
        with pytest.raises(ValueError, match="the codes are"):
            dynamodb_faults.cancel_transaction(*codes)
    assert dynamodb_faults.pending == []


WRONG_OPTIONS: list[tuple[str, Any]] = [
    ("times", 0),
    ("times", 1.5),
    ("times", "PutItem"),
    ("skip", -1),
    ("skip", None),
    ("table", Accounts),  # whose name lacks what the configuration adds
    ("retry_after_seconds", -1),
    ("retry_after_seconds", float("nan")),
]


@pytest.mark.parametrize("wrong", [Account, Account(id="a"), "accounts"])
def test_tables_of_no_repository_class(dynamodb_tables: Tables, wrong: Any) -> None:
    with pytest.raises(TypeError, match="is no repository class"):
        dynamodb_tables(wrong)
