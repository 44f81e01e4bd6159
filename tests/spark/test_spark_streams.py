"""Changes of a table as a stream, and a stream into a table, on a real server; how shards are read: `tests/unit`."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_wrapper import ValidationError
from dynamodb_wrapper.spark import change_schema
from dynamodb_wrapper.spark.offsets import StreamEndedError, TrimmedDataError
from dynamodb_wrapper.spark.options import Options
from tests.faults import rules
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.spark.conftest import SERVER, make_table, put, stored
from tests.spark.shop import Bid, Bids, Customer, Customers, Member, Members, Ticket, Tickets
from tests.spark.test_spark_tables import reports, wire
from tests.timing import in_time

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from dynamodb_wrapper.spark.stream_source import ChangeReader

pytestmark = pytest.mark.usefixtures("spark")

BOTH = "NEW_AND_OLD_IMAGES"


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    one = Proxy(server.endpoint_url)
    yield one
    one.close()


def streamed(server: Server, view: str = BOTH) -> str:
    return make_table(server, StreamSpecification={"StreamEnabled": True, "StreamViewType": view})


def changes(spark: SparkSession, server: Server, table: str, **options: Any) -> DataFrame:
    given = {"endpoint_url": server.endpoint_url, "starting_position": "trim_horizon", "poll_seconds": 0.05, **options}
    return spark.readStream.format("dynamodb").options(**given).load(table)


def run_once(frame: DataFrame, folder: Path, sink: str, **options: Any) -> str:
    """Run a query over what there is now until it stops, and return its id."""
    writer = frame.writeStream.format(sink).trigger(availableNow=True)
    query = writer.options(**{"checkpointLocation": str(folder / "checkpoint"), **options}).start()
    query.awaitTermination()
    return str(query.id)


def put_one_by_one(server: Server, table: str, numbers: range) -> None:
    """Change seven items over and over."""
    for number in numbers:
        server.client.put_item(TableName=table, Item=wire("p", number % 7, n={"N": str(number)}))


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)


def reader(server: Server, table: str, ddl: str = "pk string, sk int, n int", **options: Any) -> ChangeReader:
    """What Spark makes of the options, to be asked without a query."""
    from pyspark.sql.types import StructType

    from dynamodb_wrapper.spark.stream_source import ChangeReader

    images = options.pop("images", ("new", "old"))
    schema = change_schema(StructType.fromDDL(ddl), keys=("pk", "sk"), images=images)
    given = {"endpoint_url": server.endpoint_url, "starting_position": "trim_horizon", **options}
    return ChangeReader(Options.of({"table": table, **{name: str(value) for name, value in given.items()}}), schema)


def rows(batches: Iterator[Any]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


def test_changes_as_they_are(spark: SparkSession, server: Server, tmp_path: Path) -> None:
    table = streamed(server)
    item = {
        "pk": {"S": "a"}, "sk": {"N": "1"}, "total": {"N": "12.5"}, "status": {"S": "open"},
        "tags": {"SS": ["x"]}, "blob": {"B": b"\x00\x01"}, "placed_at": {"S": "2024-03-10T07:30:00.000005+00:00"},
        "address": {"M": {"street": {"S": "s"}}}, "prices": {"M": {"p": {"N": "0.1"}}}, "unknown": {"S": "u"},
    }  # fmt: skip
    server.client.put_item(TableName=table, Item=item)
    server.client.put_item(TableName=table, Item={**item, "total": {"N": "13"}})
    server.client.delete_item(TableName=table, Key={"pk": {"S": "a"}, "sk": {"N": "1"}})
    # The schema is the model's, with the images that the stream has.
    frame = changes(spark, server, table, model="tests.spark.shop:Order")
    assert frame.selectExpr("new.*").schema["tags"].metadata == {"dynamodb": "SS"}
    run_once(frame, tmp_path, "memory", queryName="changes_as_they_are")
    found = spark.table("changes_as_they_are").collect()
    assert [row.event_name for row in found] == ["INSERT", "MODIFY", "REMOVE"]
    assert [row["keys"].asDict() for row in found] == [{"pk": "a", "sk": 1}] * 3
    inserted, modified, removed = found
    assert (inserted.old, removed.new, removed.old) == (None, None, modified.new)
    assert (modified.old.total, modified.new.total) == (Decimal("12.50"), Decimal("13.00"))
    new = inserted.new
    assert (new.tags, new.blob, new.address.street, new.prices) == (["x"], b"\x00\x01", "s", {"p": 0.1})
    assert new.placed_at.astimezone(dt.UTC) == dt.datetime(2024, 3, 10, 7, 30, 0, 5, dt.UTC)
    assert abs(inserted.approximate_creation_time.timestamp() - dt.datetime.now(dt.UTC).timestamp()) < 120
    assert len({row.event_id for row in found}) == 3
    assert not inserted.expired


def test_a_copy_is_exact_through_restarts_and_a_batch_that_fails(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    origin = streamed(server)
    put_one_by_one(server, origin, range(100))
    frame = changes(spark, server, origin, partition_key="pk", sort_key="sk", max_records=40)
    copy = frame.where("event_name <> 'REMOVE'").selectExpr("new.*")
    options = {
        "endpoint_url": proxy.url, "metrics_path": str(tmp_path / "reports"), "capacity": "100000", "path": table,
    }  # fmt: skip
    query = run_once(copy, tmp_path, "dynamodb", **options)
    # One item stands for up to six changes of a batch; were they out of order, another would be the last.
    assert stored(server, table) == stored(server, origin)
    jobs = reports(tmp_path / "reports", "-job")
    assert [(job["job_id"], job["batch_id"], job["outcome"]) for job in jobs] == [
        (f"{query}-{batch}", batch, "committed") for batch in range(len(jobs))
    ]
    assert sum(job["counts"]["rows_written"] for job in jobs) == 100
    assert max(job["counts"]["rows_written"] for job in jobs) == 40
    account = Path(tempfile.gettempdir(), f"dynamodb-wrapper-{query}.rate")
    assert account.exists()
    account.unlink()

    failing = len(jobs)
    put_one_by_one(server, origin, range(100, 130))
    proxy.inject(rules.refusal("AccessDeniedException"), "BatchWriteItem", times=2)  # both attempts
    with pytest.raises(Exception, match="AccessDenied"):
        run_once(copy, tmp_path, "dynamodb", **options)
    (job,) = [job for job in reports(tmp_path / "reports", "-job") if job["batch_id"] == failing]
    assert (job["outcome"], job["unfinished"]) == ("aborted", 1)
    put_one_by_one(server, origin, range(130, 140))
    run_once(copy, tmp_path, "dynamodb", **options)
    assert stored(server, table) == stored(server, origin)
    # The batch that failed was done again just as it was.
    jobs = [job for job in reports(tmp_path / "reports", "-job") if job["batch_id"] >= failing]
    written = {job["batch_id"]: job["counts"]["rows_written"] for job in jobs if job["counts"]["rows_written"]}
    assert written == {failing: 30, failing + 1: 10}
    account.unlink()


@pytest.mark.usefixtures("credentials")
def test_latest_is_what_comes_after(server: Server) -> None:
    table = streamed(server)
    put_one_by_one(server, table, range(3))
    one = reader(server, table, starting_position="latest", poll_seconds=0.2)
    offset = one.initialOffset()
    put_one_by_one(server, table, range(3, 5))
    batches, end = one.read(json.loads(json.dumps(offset)))
    assert [row["new"]["n"] for row in rows(batches)] == [3, 4]
    again = reader(server, table).readBetweenOffsets(offset, end)
    assert [row["new"]["n"] for row in rows(again)] == [3, 4]
    started = dt.datetime.now(dt.UTC)
    with in_time():
        for _ in range(3):
            batches, same = one.read(end)
            assert (list(batches), same) == ([], end)
    assert (dt.datetime.now(dt.UTC) - started).total_seconds() >= 0.4


@pytest.mark.usefixtures("credentials")
def test_guards_of_unique_values_are_no_changes(server: Server) -> None:
    from pyspark.sql.types import StructType

    from dynamodb_wrapper.spark.stream_source import ChangeReader

    members = Members(server.running.config(""))
    members.create_table()
    try:
        enable_stream(server, members.table_name)
        members.create(Member(name="a", email="a@b.c"))
        options = {
            "repository": "tests.spark.shop:Members", "endpoint_url": str(server.endpoint_url),
            "starting_position": "trim_horizon",
        }  # fmt: skip
        schema = change_schema(StructType.fromDDL("name string, email string"), keys=["name"])
        one = ChangeReader(Options.of(options), schema)
        assert [row["new"] for row in rows(one.read(one.initialOffset())[0])] == [{"name": "a", "email": "a@b.c"}]
    finally:
        members.delete_table()


def enable_stream(server: Server, table: str, view: str = BOTH) -> None:
    stream: Any = {"StreamEnabled": True, "StreamViewType": view}
    server.client.update_table(TableName=table, StreamSpecification=stream)


def repository_reader(server: Server, repository: Any, **options: Any) -> ChangeReader:
    """Return a reader of the changes of a repository's table, in the schema that it gives itself."""
    from dynamodb_wrapper.spark.source import DynamoDBDataSource
    from dynamodb_wrapper.spark.stream_source import ChangeReader

    given = {
        "repository": f"tests.spark.shop:{type(repository).__name__}",
        "endpoint_url": str(server.endpoint_url), "starting_position": "trim_horizon", **options,
    }  # fmt: skip
    source = DynamoDBDataSource({name: str(value) for name, value in given.items()})
    return ChangeReader(source.chosen, source.schema())


@pytest.fixture
def tickets(server: Server) -> Iterator[Tickets]:
    tickets = Tickets(server.running.config(""))
    tickets.create_table()
    enable_stream(server, tickets.table_name)
    yield tickets
    tickets.delete_table()


def test_images_of_older_versions_are_brought_up_to_date(
    spark: SparkSession, server: Server, tickets: Tickets, tmp_path: Path
) -> None:
    put(server, tickets.table_name, [wire("a", 1, title={"S": "old"})])
    tickets.put(Ticket(pk="a", sk=1, label="new", priority=1))
    options = {"endpoint_url": server.endpoint_url, "starting_position": "trim_horizon"}
    stream = spark.readStream.format("dynamodb").options(repository="tests.spark.shop:Tickets", **options)
    run_once(stream.load(), tmp_path, "memory", queryName="tickets")
    found = spark.table("tickets").collect()
    assert [(row.old, row.new) for row in found] == [
        (None, ("a", 1, "old", 5)),
        (("a", 1, "old", 5), ("a", 1, "new", 1)),
    ]
    assert found[1]["keys"] == ("a", 1)


@pytest.mark.usefixtures("credentials")
def test_images_of_newer_versions_fail_or_are_left_out(server: Server, tickets: Tickets, tmp_path: Path) -> None:
    one = repository_reader(server, tickets)
    put(server, tickets.table_name, [wire("a", 1, label={"S": "x"}, schema_version={"N": "3"})])
    tickets.create(Ticket(pk="a", sk=2, label="x"))
    with pytest.raises(ValidationError, match="schema version 3, and this program knows 2"):
        one.read(one.initialOffset())
    one = repository_reader(server, tickets, on_mismatch="quarantine", quarantine=tmp_path)
    assert [row["keys"]["sk"] for row in rows(one.read(one.initialOffset())[0])] == [2]
    (entry,) = reports(tmp_path)
    assert "schema version 3" in entry["reason"]
    assert entry["item"]["keys"] == {"M": {"pk": {"S": "a"}, "sk": {"N": "1"}}}


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("view", [BOTH, "NEW_IMAGE", "KEYS_ONLY"])
def test_changes_of_a_shared_table_are_those_of_the_repository(server: Server, view: str) -> None:
    bids, customers = (kind(server.running.config("")) for kind in (Bids, Customers))
    bids.create_table()
    try:
        enable_stream(server, bids.table_name, view)
        one = repository_reader(server, bids)
        customers.create(Customer(customerId="c1"))
        bids.create(Bid(customerId="c1", number=1, label="x"))
        customers.delete("c1")
        bids.delete("c1", 1)
        found = rows(one.read(one.initialOffset())[0])
        assert [row["event_name"] for row in found] == ["INSERT", "REMOVE"]
        assert [row["keys"] for row in found] == [{"pk": "CUSTOMER#c1", "sk": "BID#000001"}] * 2
        bid = {"customerId": "c1", "number": 1, "label": "x"}
        images = {
            BOTH: [(bid, None), (None, bid)],
            "NEW_IMAGE": [(bid, "-"), (None, "-")],
            "KEYS_ONLY": [("-", "-")] * 2,
        }
        assert [(row.get("new", "-"), row.get("old", "-")) for row in found] == images[view]
    finally:
        bids.delete_table()


@pytest.mark.usefixtures("credentials")
def test_a_column_of_changes_that_is_said_never_to_be_null_is_refused(server: Server, table: str) -> None:
    with pytest.raises(ValidationError, match=r"new, old cannot be null.*toNullable"):
        reader(server, table, "pk string, sk int, n int not null")


@pytest.mark.usefixtures("credentials")
def test_throttling_and_lost_answers_are_waited_out(server: Server, proxy: Proxy) -> None:
    table = streamed(server)
    put_one_by_one(server, table, range(20))
    proxy.inject(rules.refusal("LimitExceededException"), "GetRecords", times=1)
    proxy.inject(rules.reset(applied=True), "GetRecords", times=1)
    proxy.inject(rules.corrupt(), "GetRecords", times=1)
    proxy.inject(rules.refusal("ThrottlingException"), "GetShardIterator", times=1)
    proxy.inject(rules.refusal("ExpiredIteratorException"), "GetRecords", skip=1, times=1)
    one = reader(server, table, endpoint_url=proxy.url, max_records=10)
    batches, offset = one.read(one.initialOffset())
    more, _ = one.read(offset)
    assert [row["new"]["n"] for row in rows(batches) + rows(more)] == list(range(20))
    assert len(proxy.injected) == 5


@pytest.mark.usefixtures("credentials")
def test_trimmed_changes(server: Server, proxy: Proxy) -> None:
    table = streamed(server)
    put_one_by_one(server, table, range(4))
    options = {"endpoint_url": proxy.url, "max_records": 2}
    one = reader(server, table, **options)
    _, offset = one.read(one.initialOffset())
    proxy.inject(rules.refusal("TrimmedDataAccessException"), "GetShardIterator", times=2)
    with pytest.raises(TrimmedDataError, match="not read within 24 hours"):
        reader(server, table, **options).read(offset)
    one = reader(server, table, on_trimmed="continue", **options)
    batches, offset = one.read(offset)
    more, offset = one.read(offset)
    assert [row["new"]["n"] for row in rows(batches) + rows(more)] == [0, 1]  # the server has them still
    assert offset["gaps"] == 1


@pytest.mark.usefixtures("credentials")
def test_a_stream_that_is_replaced(server: Server) -> None:
    table = streamed(server)
    put_one_by_one(server, table, range(2))
    one = reader(server, table)
    offset = one.initialOffset()
    server.client.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    batches, offset = one.read(offset)
    assert len(rows(batches)) == 2
    with pytest.raises(ValidationError, match="has no stream"):
        one.read(offset)
    again: Any = {"StreamEnabled": True, "StreamViewType": BOTH}
    server.client.update_table(TableName=table, StreamSpecification=again)
    put_one_by_one(server, table, range(2, 4))
    with pytest.raises(StreamEndedError, match=r"was disabled.*in none"):
        one.read(offset)
    one = reader(server, table, on_trimmed="continue", poll_seconds=0.01)
    batches, following = one.read(offset)
    assert list(batches) == []
    assert list(one.readBetweenOffsets(offset, following)) == []
    assert (following["gaps"], following["stream"] == offset["stream"]) == (1, False)
    assert [row["new"]["n"] for row in rows(one.read(following)[0])] == [2, 3]


@pytest.mark.usefixtures("credentials")
def test_what_cannot_be_is_told_first(spark: SparkSession, server: Server, table: str) -> None:
    with pytest.raises(ValidationError, match="has no stream: enable one"):
        reader(server, table).initialOffset()
    keys_only = streamed(server, "KEYS_ONLY")
    with pytest.raises(ValidationError, match="KEYS_ONLY, and so no column 'new'"):
        reader(server, keys_only).initialOffset()
    put_one_by_one(server, keys_only, range(1))
    one = reader(server, keys_only, images=())
    (row,) = rows(one.read(one.initialOffset())[0])
    assert (row["event_name"], row["keys"]) == ("INSERT", {"pk": "p", "sk": 0})
    with pytest.raises(ValidationError, match="no column for the key: sk"):
        reader(server, table, "pk string")
    from pyspark.sql.types import StructType

    from dynamodb_wrapper.spark.stream_source import ChangeReader

    plain = Options.of({"table": table, "endpoint_url": str(server.endpoint_url)})
    with pytest.raises(ValidationError, match="'pk' is string; in the changes of a table it is not there"):
        ChangeReader(plain, StructType.fromDDL("pk string"))
    with pytest.raises(ValidationError, match=r"'event_id' is int; .* it is string"):
        ChangeReader(plain, StructType.fromDDL("event_id int"))
    with pytest.raises(ValidationError, match=r"starting_position.* is missing"):
        ChangeReader(plain, StructType.fromDDL("event_id string")).initialOffset()
    batch = spark.read.format("dynamodb").option("starting_position", "latest").option("partition_key", "pk")
    with pytest.raises(Exception, match=r"is for changes: spark\.readStream"):
        batch.option("endpoint_url", str(server.endpoint_url)).schema("event_id string").load(table).collect()


@pytest.mark.usefixtures("credentials")
def test_a_value_that_its_column_cannot_hold(server: Server, tmp_path: Path) -> None:
    table = streamed(server)
    put(server, table, [wire("p", 1, n={"S": "many"}), wire("p", 2, n={"N": "2"})])
    one = reader(server, table)
    with pytest.raises(ValidationError, match=r"attribute 'new\.n' is of DynamoDB type S"):
        one.read(one.initialOffset())
    one = reader(server, table, on_mismatch="quarantine", quarantine=tmp_path)
    batches, _ = one.read(one.initialOffset())
    assert [row["keys"]["sk"] for row in rows(batches)] == [2]
    (entry,) = reports(tmp_path)
    assert entry["item"]["keys"] == {"M": {"pk": {"S": "p"}, "sk": {"N": "1"}}}
