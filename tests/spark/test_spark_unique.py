"""Repositories with unique values: their guards are no rows, and each row that is written claims what it has."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

from pyspark.sql import datasource as ds
from pyspark.sql import types as t

from dynamodb_wrapper import ValidationError
from dynamodb_wrapper.operations.unique import guards_of
from tests.faults import rules
from tests.faults.proxy import Exchange, Fault, Proxy
from tests.servers import Server
from tests.spark.conftest import ROOT, SERVER, put
from tests.spark.shop import Account, Accounts, Shift, Shifts
from tests.spark.test_spark_repositories import columns, made, rejected, rows, write
from tests.spark.test_spark_tables import read, reports
from tests.spark.test_spark_tables import write as write_frame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ACCOUNTS = columns("team string, name string, email string, badge bigint, note string")
MODES: list[dict[str, str]] = [
    {},
    {"write_mode": "insert_only"},
    {"write_mode": "update", "upsert": "true"},
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def accounts(server: Server) -> Iterator[Accounts]:
    yield from made(server, Accounts)


@pytest.fixture
def shifts(server: Server) -> Iterator[Shifts]:
    yield from made(server, Shifts)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    one = Proxy(server.endpoint_url)
    yield one
    one.close()


def everything(server: Server, accounts: Accounts) -> list[dict[str, Any]]:
    """All that is in the table, guards too."""
    found = server.client.scan(TableName=accounts.table_name, ConsistentRead=True)["Items"]
    return sorted((dict(item) for item in found), key=str)


def held(server: Server, accounts: Accounts) -> dict[str, str]:
    """Whose each guard is, by its key; fails where items and guards do not say the same."""
    items = everything(server, accounts)
    owners = {item["team"]["S"]: item["unique#owner"]["M"] for item in items if "unique#owner" in item}
    data = [item for item in items if "unique#owner" not in item]
    needed = {guard: accounts._entity.key_of(item) for item in data for guard in guards_of(accounts._entity, item)}
    assert owners == needed
    return {guard: owner["name"]["S"] for guard, owner in owners.items()}


def names(server: Server, accounts: Accounts) -> dict[str, str]:
    """The e-mail of each account, with all guards checked."""
    held(server, accounts)
    return {one.name: one.email or "" for one in accounts.scan()}


def many(count: int) -> list[tuple[Any, ...]]:
    return [("t", f"n{number}", f"E{number}", number, None) for number in range(count)]


# --- through Spark ---------------------------------------------------------------------------------------------------


def test_rows_through_spark(spark: SparkSession, server: Server, accounts: Accounts, tmp_path: Path) -> None:
    """Two tasks at a time; of the rows that want one value, one gets it, whoever comes first."""
    accounts.create(Account(team="t", name="ann", email="ANN", badge=1))
    repository = {"repository": "tests.spark.shop:Accounts"}
    assert read(spark, server, **repository).load().collect() == [("t", "ann", "ANN", 1, None)]
    given = [("t", f"n{n}", f"E{n // 2}", 100 + n, "x") for n in range(40)] + [("t", "bob", "ANN", 2, "x")]
    frame = spark.createDataFrame(given, "team string, name string, email string, badge bigint, note string")
    options = {**repository, "on_rejected": "quarantine", "quarantine": tmp_path / "q", "metrics_path": tmp_path / "m"}
    write_frame(frame.repartition(2, "name"), server, **options).save()
    reasons = rejected(tmp_path / "q")
    assert len(reasons) == 21
    assert "another item has that email already: the item with key {'team': 't', 'name': 'ann'}" in reasons
    (job,) = reports(tmp_path / "m", "job")
    assert (job["counts"]["rows_written"], job["counts"]["rows_rejected"]) == (20, 21)
    found = names(server, accounts)
    assert sorted(found.values()) == sorted(["ANN", *(f"E{n}" for n in range(20))])


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "filters"),
    [
        (None, ()),
        (None, (ds.EqualTo(("team",), "unique#email#S:ANN"),)),
        (None, (ds.In(("team",), ("t", "unique#email#S:ANN")),)),
        ("by_name", ()),  # an index of the table's key has guards, too
        ("by_name", (ds.EqualTo(("name",), "unique"),)),
    ],
)
def test_guards_are_no_rows(
    server: Server, accounts: Accounts, index: str | None, filters: tuple[ds.Filter, ...]
) -> None:
    accounts.create(Account(team="t", name="unique", email="ANN", badge=1))
    options = {} if index is None else {"index": index}
    assert len(everything(server, accounts)) == 3
    found = [row["team"] for row in rows(server, "Accounts", *filters, **options)]
    assert found == ([] if filters and isinstance(filters[0], ds.EqualTo) and index is None else ["t"])


# --- writing ---------------------------------------------------------------------------------------------------------


def test_rows_are_stored_as_the_repository_stores_models(server: Server, accounts: Accounts) -> None:
    models = [Account(team="t", name="a", email="A", badge=7), Account(team="t", name="b"), Account(team="u", name="a")]
    for model in models:
        accounts.create(model)
    expected = everything(server, accounts)
    for model in models:
        accounts.delete(model.team, model.name)
    assert everything(server, accounts) == []
    assert (
        write(server, "Accounts", ACCOUNTS, [tuple(model.model_dump().values()) for model in models]).rows_written == 3
    )
    assert everything(server, accounts) == expected
    # What is read back is written back: nothing changes, and nothing is in its own way.
    again = [tuple(row.values()) for row in rows(server, "Accounts")]
    assert write(server, "Accounts", ACCOUNTS, again).rows_rejected == 0
    assert everything(server, accounts) == expected


@pytest.mark.parametrize("options", MODES)
def test_a_row_whose_value_is_taken_is_rejected_as_a_whole(
    server: Server, accounts: Accounts, tmp_path: Path, options: dict[str, str]
) -> None:
    accounts.create(Account(team="t", name="ann", email="ANN", badge=1))
    given = [
        ("t", "bob", "ANN", 2, None),
        ("t", "cid", "CID", 1, None),  # the badge is ann's, and so the address is not taken either
        ("t", "dan", "DAN", 2, None),
        ("u", "eve", "EVE", 1, None),  # of another team
        ("t", "fay", "fay", None, None),  # the repository would look for FAY
        ("unique#email#S:ANN", "unique", None, None, None),
    ]
    chosen_options = {**options, "on_rejected": "quarantine", "quarantine": tmp_path}
    counts = write(server, "Accounts", ACCOUNTS, given, **chosen_options)
    assert (counts.rows_written, counts.rows_rejected) == (2, 4)
    assert names(server, accounts) == {"ann": "ANN", "dan": "DAN", "eve": "EVE"}
    assert sorted(reason.partition(":")[0] for reason in rejected(tmp_path)) == [
        "another item has that badge within team already",
        "another item has that email already",
        "key 'team' begins with 'unique#', which is kept for the guards of unique values",
        "the repository, whose model changes such values, would read another 'email'",
    ]
    with pytest.raises(ValidationError, match=r"1 rows could not be written: another item has that email"):
        write(server, "Accounts", ACCOUNTS, given[:1], **options)


def test_values_that_rows_give_up_are_free(server: Server, accounts: Accounts, tmp_path: Path) -> None:
    write(server, "Accounts", ACCOUNTS, [("t", "a", "A", 1, "x"), ("t", "b", "B", 2, "x"), ("t", "c", "C", 3, "x")])
    assert write(server, "Accounts", ACCOUNTS, [("t", "a", "A2", 1, None)]).rows_written == 1
    update = {"write_mode": "update"}
    addresses = columns("team string, name string, email string")
    counts = write(server, "Accounts", addresses, [("t", "b", None), ("t", "c", "A")], **update)
    assert counts.rows_written == 2
    assert held(server, accounts) == {
        "unique#email#S:A2": "a", "unique#email#S:A": "c",
        "unique#badge,team#N:1#S:t": "a", "unique#badge,team#N:2#S:t": "b", "unique#badge,team#N:3#S:t": "c",
    }  # fmt: skip
    assert accounts.get_or_raise("t", "c").note == "x"
    assert write(server, "Accounts", addresses, [("t", "c", None)], **update, nulls="skip").rows_written == 1
    assert names(server, accounts)["c"] == "A"
    # Columns that decide on no unique value are updated as in any other table.
    notes = columns("team string, name string, note string")
    assert write(server, "Accounts", notes, [("t", "c", "y")], **update).requests == 1
    missing = {**update, "on_rejected": "quarantine", "quarantine": tmp_path}
    assert write(server, "Accounts", addresses, [("t", "z", "Z")], **missing).rows_rejected == 1
    assert rejected(tmp_path) == ["there is no item with this key"]
    keys = columns("team string, name string")
    assert write(server, "Accounts", keys, [("t", "c"), ("t", "z")], write_mode="delete").rows_written == 2
    assert names(server, accounts) == {"a": "A2", "b": ""}
    # What somebody else has stored under a key that the model would change can be deleted, though not be written.
    put(server, accounts.table_name, [{"team": {"S": "T"}, "name": {"S": "d"}}])
    assert write(server, "Accounts", keys, [("T", "d")], write_mode="delete").rows_written == 1
    with pytest.raises(ValidationError, match="would read another 'team'"):
        write(server, "Accounts", ACCOUNTS, [("T", "d", None, 5, None)])
    assert names(server, accounts) == {"a": "A2", "b": ""}


@pytest.mark.parametrize("options", [*MODES, {"write_mode": "update"}, {"write_mode": "delete"}])
def test_keys_that_are_no_column_of_text_and_values_that_are_not_there(
    server: Server, shifts: Shifts, options: dict[str, str]
) -> None:
    if options.get("write_mode") in ("update", "delete") and "upsert" not in options:
        shifts.create(Shift(day=dt.date(2026, 11, 2), email="a@b"))
        shifts.create(Shift(day=dt.date(2026, 11, 3), email="c@d"))
    schema = t.StructType([t.StructField("day", t.DateType()), t.StructField("email", t.StringType())])
    given = [(dt.date(2026, 11, 2), "ann@x"), (dt.date(2026, 11, 3), None)]
    assert write(server, "Shifts", schema, given, **options).rows_written == 2
    left = [] if options.get("write_mode") == "delete" else given
    assert sorted((one.day, one.email) for one in shifts.scan()) == left


# --- when something fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [*MODES, {"write_mode": "delete"}])
def test_lost_answers_and_attempts_that_come_twice_leave_what_one_leaves(
    server: Server, accounts: Accounts, proxy: Proxy, options: dict[str, str]
) -> None:
    if is_delete := options.get("write_mode") == "delete":
        write(server, "Accounts", ACCOUNTS, many(12))
    for place, fault in enumerate(
        (
            rules.hang_up(applied=True),
            rules.server_error(applied=True),
            rules.cancelled("None", "TransactionConflict"),
            rules.throttle(),
            rules.in_progress(),
        )
    ):
        proxy.inject(fault, "TransactWriteItems", skip=place)
    for _ in range(2):
        assert write(server, "Accounts", ACCOUNTS, many(12), **options, endpoint_url=proxy.url).rows_written == 12
        assert len(names(server, accounts)) == (0 if is_delete else 12)
    assert sum(proxy.injected.values()) == 5


WRITER = """
import sys
from types import SimpleNamespace
from tests.spark.test_spark_repositories import write
from tests.spark.test_spark_unique import ACCOUNTS, many

write(SimpleNamespace(endpoint_url=sys.argv[1]), "Accounts", ACCOUNTS, many(40), in_flight=4)
"""


def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_half_written(
    server: Server, accounts: Accounts, proxy: Proxy
) -> None:
    worker: list[subprocess.Popen[bytes]] = []

    def kill(exchange: Exchange) -> None:
        answer = exchange.forward()
        worker[0].send_signal(signal.SIGKILL)
        worker[0].wait(30)
        exchange.answer(answer)

    proxy.inject(Fault("killed", kill), "TransactWriteItems", skip=10)
    worker.append(subprocess.Popen([sys.executable, "-c", WRITER, proxy.url], cwd=ROOT))
    assert worker[0].wait(60) == -signal.SIGKILL
    assert 11 <= len(names(server, accounts)) <= 14
    assert write(server, "Accounts", ACCOUNTS, many(40)).rows_written == 40
    assert len(names(server, accounts)) == 40


def test_a_transaction_that_is_throttled_slows_the_job_down(server: Server, accounts: Accounts, proxy: Proxy) -> None:
    proxy.inject(rules.cancelled("None", "ProvisionedThroughputExceeded"), "TransactWriteItems")
    begun = time.monotonic()
    options = {"write_mode": "insert_only", "in_flight": 1, "capacity": 30, "endpoint_url": proxy.url}
    counts = write(server, "Accounts", ACCOUNTS, many(13), **options)
    assert (counts.rows_written, counts.throttles) == (13, 1)
    assert time.monotonic() - begun > 12 * 6 / 30 * 1.35  # 30 % less for a while


def test_the_rate_limit_counts_what_transactions_consume(server: Server, accounts: Accounts, proxy: Proxy) -> None:
    consumed: list[tuple[float, float]] = []

    def note(exchange: Exchange) -> None:
        answer = exchange.forward()
        units = json.loads(answer.body)["ConsumedCapacity"][0]["WriteCapacityUnits"]
        consumed.append((time.monotonic(), units))
        exchange.answer(answer)

    proxy.inject(Fault("noted", note), "TransactWriteItems", times=None)
    rate = 150
    counts = write(server, "Accounts", ACCOUNTS, many(60), endpoint_url=proxy.url, capacity=rate)
    units = sum(each for _, each in consumed)
    assert counts.capacity == units
    assert units >= 60 * 3 * 2  # an item and two guards, twice what single writes take
    seconds = max(moment for moment, _ in consumed) - min(moment for moment, _ in consumed)
    assert units / rate * 0.85 < seconds < units / rate * 1.5 + 1
