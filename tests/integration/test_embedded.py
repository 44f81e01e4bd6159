"""The embedded server: a DynamoDB in this process, and nobody else's business."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    IdempotentParameterMismatchError,
    ServerError,
    TableNotFoundError,
    TransactionCanceledError,
)
from dynamodb_wrapper.operations.effects import Response, call
from dynamodb_wrapper.transport import Connection, connection_for, drop_embedded, embedded, reset_connection


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid4().hex}"
    yield name
    reset_connection()
    drop_embedded(name)


@pytest.fixture
def connection(name: str) -> Connection:
    connection = connection_for(DynamoDBConfig.embedded(name))
    create_table(connection)
    return connection


def run(connection: Connection, operation: str, **params: Any) -> Response:
    return connection.driver.run(call(operation, params))


def create_table(connection: Connection, table_name: str = "t") -> None:
    run(
        connection,
        "CreateTable",
        TableName=table_name,
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def put(connection: Connection, key: str, **more: Any) -> Response:
    return run(connection, "PutItem", TableName="t", Item={"p": {"S": key}, **more})


def get(connection: Connection, key: str) -> dict[str, Any] | None:
    return run(connection, "GetItem", TableName="t", Key={"p": {"S": key}}).get("Item")


def plain_client() -> Any:
    """A client of the user's own, for a port where nobody listens."""
    return botocore.session.Session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="real",
        aws_secret_access_key="real",
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )


def test_items_come_back_with_bytes_as_bytes(connection: Connection) -> None:
    put(connection, "x", raw={"B": b"\x00\xff"}, many={"BS": [b"\x01"]}, nested={"L": [{"B": b"\x02"}]})
    assert get(connection, "x") == {
        "p": {"S": "x"},
        "raw": {"B": b"\x00\xff"},
        "many": {"BS": [b"\x01"]},
        "nested": {"L": [{"B": b"\x02"}]},
    }


def test_errors_are_ours_with_what_is_stored(connection: Connection) -> None:
    put(connection, "x", n={"N": "1"})
    absent: dict[str, Any] = {
        "TableName": "t",
        "Item": {"p": {"S": "x"}},
        "ConditionExpression": "attribute_not_exists(p)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    with pytest.raises(ConditionFailedError) as refused:
        run(connection, "PutItem", **absent)
    assert refused.value.item == {"p": {"S": "x"}, "n": {"N": "1"}}
    with pytest.raises(TransactionCanceledError) as cancelled:
        run(connection, "TransactWriteItems", TransactItems=[{"Put": absent}])
    assert [(reason.code, reason.item) for reason in cancelled.value.reasons] == [
        ("ConditionalCheckFailed", {"p": {"S": "x"}, "n": {"N": "1"}})
    ]
    with pytest.raises(TableNotFoundError, match="'nowhere' does not exist at embedded://"):
        run(connection, "GetItem", TableName="nowhere", Key={"p": {"S": "x"}})


def test_two_names_never_share_a_table(connection: Connection, name: str) -> None:
    other = connection_for(DynamoDBConfig.embedded(f"{name}-other"))
    put(connection, "x")
    assert run(connection, "ListTables")["TableNames"] == ["t"]
    assert run(other, "ListTables")["TableNames"] == []
    drop_embedded(f"{name}-other")


def test_one_name_is_one_server_whatever_the_configuration(connection: Connection, name: str) -> None:
    put(connection, "x")
    other = connection_for(DynamoDBConfig.embedded(name, timeout_seconds=1))
    assert other is not connection
    assert get(other, "x") == {"p": {"S": "x"}}


def test_boto3s_objects_reach_the_same_tables(connection: Connection) -> None:
    put(connection, "x", raw={"B": b"\x00"})
    assert connection.table("t").get_item(Key={"p": "x"})["Item"]["raw"] == b"\x00"
    connection.table("t").put_item(Item={"p": "y", "n": 1})
    assert get(connection, "y") == {"p": {"S": "y"}, "n": {"N": "1"}}
    assert connection.boto3_client.list_tables()["TableNames"] == ["t"]
    assert connection.health_check() is True


def test_a_reset_keeps_the_data_and_drop_forgets_it(connection: Connection, name: str) -> None:
    put(connection, "x")
    reset_connection()
    assert get(connection, "x") == {"p": {"S": "x"}}
    drop_embedded(name)
    drop_embedded(name)
    with pytest.raises(TableNotFoundError):
        get(connection, "x")


def test_the_environment_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half-of-a-pair")
    monkeypatch.setenv("DYNAMODB_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")
    connection = connection_for(DynamoDBConfig.embedded(name))
    create_table(connection)
    assert connection.table("t").table_status == "ACTIVE"


def test_conditional_writes_of_threads_lose_nothing(connection: Connection) -> None:
    put(connection, "x", n={"N": "0"})
    barrier = threading.Barrier(8)

    def add_ten(_: int) -> None:
        barrier.wait(10)
        done = 0
        while done < 10:
            seen = (get(connection, "x") or {})["n"]
            following = {"N": str(int(seen["N"]) + 1)}
            try:
                run(
                    connection,
                    "UpdateItem",
                    TableName="t",
                    Key={"p": {"S": "x"}},
                    UpdateExpression="SET n = :following",
                    ConditionExpression="n = :seen",
                    ExpressionAttributeValues={":following": following, ":seen": seen},
                )
                done += 1
            except ConditionFailedError:
                continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_ten, range(8)))
    assert get(connection, "x") == {"p": {"S": "x"}, "n": {"N": "80"}}


def test_other_clients_go_where_they_always_went(name: str) -> None:
    before = plain_client()
    connection = connection_for(DynamoDBConfig.embedded(name))
    create_table(connection)
    connection.table("t")
    after = plain_client()
    for client in (before, after):
        with pytest.raises(EndpointConnectionError):
            client.list_tables()
        client.close()


def test_mock_aws_neither_empties_it_nor_applies_a_write_twice(connection: Connection) -> None:
    import moto

    put(connection, "x", n={"N": "0"})
    with moto.mock_aws():
        create_table(connection, "second")
        run(
            connection,
            "UpdateItem",
            TableName="t",
            Key={"p": {"S": "x"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        theirs = botocore.session.Session().create_client("dynamodb", region_name="us-east-1")
        assert theirs.list_tables()["TableNames"] == []
        theirs.close()
    assert get(connection, "x") == {"p": {"S": "x"}, "n": {"N": "1"}}
    assert run(connection, "ListTables")["TableNames"] == ["t", "second"]


def test_the_first_use_says_that_nothing_is_kept(name: str, caplog: pytest.LogCaptureFixture) -> None:
    connection = connection_for(DynamoDBConfig.embedded(name))
    with caplog.at_level(logging.INFO, logger="dynamodb_wrapper"):
        run(connection, "ListTables")
        run(connection, "ListTables")
    said = [record.getMessage() for record in caplog.records if record.name == "dynamodb_wrapper"]
    assert said == [
        f"the embedded DynamoDB {name!r} lives in this process only: its tables and items are gone when it ends"
    ]


def test_memory_does_not_grow_with_requests(connection: Connection) -> None:
    from moto.dynamodb.models.dynamo_type import Item

    put(connection, "x")
    for _ in range(5):
        get(connection, "x")
        put(connection, "x")
    assert len(getattr(Item, "instances_tracked", None) or getattr(Item, "instances", [])) == 0


def test_what_the_server_cannot_do_is_an_error_of_ours_at_once(connection: Connection) -> None:
    with pytest.raises(ServerError, match="embedded server cannot do this UpdateContinuousBackups") as caught:
        run(connection, "UpdateContinuousBackups", TableName="t")
    assert caught.value.context["attempts"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_has_the_data_and_does_not_share_it(connection: Connection) -> None:
    put(connection, "x")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fine = get(connection, "x") is not None
            put(connection, "from-the-child")
            status = 0 if fine and get(connection, "from-the-child") else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert get(connection, "from-the-child") is None


def test_without_moto_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['moto'] = None\n"
        "from dynamodb_wrapper.config import DynamoDBConfig\n"
        "from dynamodb_wrapper.exceptions import DynamoDBWrapperError\n"
        "from dynamodb_wrapper.transport import connection_for\n"
        "try: connection_for(DynamoDBConfig.embedded('a')).client\n"
        "except DynamoDBWrapperError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'dynamodb-wrapper[embedded]'" in done.stdout


def test_errors_do_not_come_from_elsewhere(connection: Connection) -> None:
    with pytest.raises(DynamoDBWrapperError) as caught:
        run(connection, "PutItem", TableName="t", Item={})
    assert caught.value.operation == "PutItem"


def test_a_transaction_is_done_once_for_a_token(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(token: str, hits: str = "1", condition: str | None = None) -> None:
        update = {
            "TableName": "t",
            "Key": {"p": {"S": "a"}},
            "UpdateExpression": "ADD hits :hits",
            "ExpressionAttributeValues": {":hits": {"N": hits}},
        }
        given = update | ({"ConditionExpression": condition} if condition else {})
        run(connection, "TransactWriteItems", TransactItems=[{"Update": given}], ClientRequestToken=token)

    def hits() -> str:
        return str(run(connection, "GetItem", TableName="t", Key={"p": {"S": "a"}})["Item"]["hits"]["N"])

    for token in ("one", "one", "two", "one"):
        add(token)
    assert hits() == "2"
    with pytest.raises(IdempotentParameterMismatchError):
        add("one", hits="5")
    with pytest.raises(TransactionCanceledError):
        add("three", condition="attribute_not_exists(p)")
    add("three")  # what was refused is not remembered
    assert hits() == "3"
    monkeypatch.setattr(embedded, "_TOKEN_SECONDS", -1.0)
    add("one")
    assert hits() == "4"
