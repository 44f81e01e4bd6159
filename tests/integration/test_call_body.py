"""A call that carries its parameters as JSON already means the same on both lanes."""

from __future__ import annotations

import pytest

from dynamodb_wrapper.operations.effects import call
from dynamodb_wrapper.transport import RequestEvent, connection_for, observe
from tests.servers import RunningServer, Server

ITEM = '{"id":{"S":"caf\u00e9"},"raw":{"B":"AP8="},"set":{"BS":["AP8="]}}'


@pytest.mark.parametrize("transport", ["botocore", "direct"])
def test_a_body_is_sent_instead_of_the_parameters(moto_server: RunningServer, transport: str) -> None:
    server = Server(moto_server)
    table = f"{server.table_prefix}-bodies"
    server.client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    body = f'{{"RequestItems":{{"{table}":[{{"PutRequest":{{"Item":{ITEM}}}}}]}},"ReturnConsumedCapacity":"TOTAL"}}'
    params = {"RequestItems": {table: ()}, "ReturnConsumedCapacity": "TOTAL"}
    events: list[RequestEvent] = []
    with observe(events.append):
        driver = connection_for(server.config(transport=transport)).driver
        answer = driver.run(call("BatchWriteItem", params, body=body.encode()))
    (item,) = server.client.scan(TableName=table)["Items"]
    assert item == {"id": {"S": "caf\u00e9"}, "raw": {"B": b"\x00\xff"}, "set": {"BS": [b"\x00\xff"]}}
    assert answer["UnprocessedItems"] == {}
    assert [event.table_names for event in events] == [(table,)]
    server.clean_up()
