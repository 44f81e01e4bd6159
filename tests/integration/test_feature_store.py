"""The feature store example: a server process, over HTTP, with a proxy before its database that breaks things."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("fastapi")

import httpx

from examples.feature_store.app import app
from examples.feature_store.load import main as load
from examples.feature_store.tables import TableType
from tests.faults import rules
from tests.faults.proxy import Fault, Proxy
from tests.integration import web
from tests.servers import ROOT, RunningServer, Server
from tests.timing import in_time

JSON = {"content-type": "application/json"}


class Store:
    """The service as its callers see it."""

    def __init__(self, service: web.Service, proxy: Proxy, server: Server) -> None:
        self.service = service
        self.proxy = proxy
        self.server = server

    def write(
        self, identifier: str, body: object, *, table: str = "bright_uid", content: bytes | None = None
    ) -> httpx.Response:
        sent: dict[str, Any] = {"json": body} if content is None else {"content": content, "headers": JSON}
        return self.service.client.post(f"/api/v1/items/{identifier}", params={"table_type": table}, **sent)

    def read(self, identifier: str, category: str, *, table: str = "bright_uid") -> httpx.Response:
        return self.service.client.get(f"/api/v1/get/item/{identifier}/{category}", params={"table_type": table})

    def read_some(self, identifier: str, wanted: object, *, table: str = "bright_uid") -> httpx.Response:
        return self.service.client.post(f"/api/v1/get/item/{identifier}", params={"table_type": table}, json=wanted)

    def health(self) -> httpx.Response:
        return self.service.client.get("/api/v1/health")

    def data(self, identifier: str, category: str) -> Any:
        return self.read(identifier, category).raise_for_status().json()["features"]["data"]

    def metadata(self, identifier: str, category: str) -> Any:
        return self.read(identifier, category).raise_for_status().json()["features"]["metadata"]

    def stored(self, identifier: str) -> list[dict[str, Any]]:
        """What is really there, past the service."""
        answer = self.server.client.query(
            TableName=f"{self.server.table_prefix}_dev_bright_uid",
            KeyConditionExpression="bright_uid = :id",
            ExpressionAttributeValues={":id": {"S": identifier}},
            ConsistentRead=True,
        )
        return list(answer["Items"])


@pytest.fixture(scope="module")
def server(ministack_server: RunningServer) -> Iterator[Server]:
    made = Server(ministack_server)
    yield made
    made.clean_up()


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    made = Proxy(server.endpoint_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(server: Server, proxy: Proxy) -> Iterator[web.Service]:
    arguments = ["-m", "examples.feature_store", "--endpoint", proxy.url, "--create-tables", "--port", "{port}"]
    environment = {"DYNAMODB_TABLE_PREFIX": server.table_prefix, "DYNAMODB_MAX_RETRIES": "1"}
    with web.service(arguments, environment) as service:
        yield service
        for sign in ("Exception ignored", "never retrieved", "never awaited", "Warning:", "Exception in ASGI"):
            assert sign not in service.log


@pytest.fixture
def store(running: web.Service, proxy: Proxy, server: Server) -> Iterator[Store]:
    proxy.received.clear()
    yield Store(running, proxy, server)
    proxy.calm()
    proxy.release()


@pytest.fixture
def uid() -> str:
    return uuid4().hex


# --- what callers send and get ----------------------------------------------------------------------------------------


def test_a_write_answers_by_category(store: Store, uid: str) -> None:
    answer = store.write(uid, {"profile": {"age": 31, "city": "Bath"}, "usage": {"clicks": 7, "rate": 0.25}})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("message") == "2 categories replaced"
    assert body == {
        "identifier": uid,
        "table_type": "bright_uid",
        "results": {
            "profile": {"status": "replaced", "feature_count": 2},
            "usage": {"status": "replaced", "feature_count": 2},
        },
        "total_features": 4,
    }


@pytest.mark.parametrize("table", list(TableType))
def test_a_read_answers_data_and_metadata(store: Store, uid: str, table: str) -> None:
    before = datetime.now(UTC)
    metadata = {"source": "batch", "compute_id": "run-7", "ttl": 4102444800}
    store.write(uid, {"data": {"profile": {"age": 31}}, "metadata": metadata}, table=table).raise_for_status()
    body = store.read(uid, "profile", table=table).json()
    found = body["features"]["metadata"]
    created, updated = (datetime.fromisoformat(found.pop(name)) for name in ("created_at", "updated_at"))
    assert before <= created == updated <= datetime.now(UTC)
    assert body == {table: uid, "category": "profile", "features": {"data": {"age": 31}, "metadata": metadata}}
    assert list(body) == [table, "category", "features"]
    store.write(uid, {"plain": {"age": 31}}, table=table).raise_for_status()
    found = store.read(uid, "plain", table=table).json()["features"]["metadata"]
    assert found == {**found, "source": "api", "compute_id": None, "ttl": None}
    assert list(found) == ["created_at", "updated_at", "source", "compute_id", "ttl"]
    others = set(TableType) - {TableType(table)}
    assert {store.read(uid, "profile", table=other).status_code for other in others} == {404}


def test_chosen_features_of_chosen_categories_in_one_batch(store: Store, uid: str) -> None:
    store.write(uid, {"a": {"x": 1, "y": 2, "z.z": 3}, "b": {"x": None, "w": 5}, "c": {"q": 1}}).raise_for_status()
    store.proxy.received.clear()
    body = store.read_some(uid, {"a": ["x", "z.z", "nothing"], "b": ["x"], "d": ["x"]}).json()
    assert body["bright_uid"] == uid
    assert {category: found["data"] for category, found in body["features"].items()} == {
        "a": {"x": 1, "z.z": 3},
        "b": {"x": None},
    }
    assert body["features"]["a"]["metadata"] == store.metadata(uid, "a")
    assert body["missing"] == {"a": ["nothing"], "d": ["x"]}
    (batch,) = [request for request in store.proxy.received if request.operation == "BatchGetItem"]
    ((asked,),) = [batch.body["RequestItems"].values()]
    assert len(asked["Keys"]) == 3
    assert "y" not in asked["ExpressionAttributeNames"].values()
    assert "z.z" in asked["ExpressionAttributeNames"].values()


def test_more_features_than_a_projection_takes(store: Store, uid: str) -> None:
    features = {f"a rather long name of a feature, number {number}": number for number in range(1000)}
    store.write(uid, {"many": {**features, "other": 1}}).raise_for_status()
    assert store.read_some(uid, {"many": list(features)}).json()["features"]["many"]["data"] == features


def test_what_is_not_there(store: Store, uid: str) -> None:
    for answer in (store.read(uid, "nothing"), store.read_some(uid, {"nothing": ["x"], "more": ["x"]})):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "dev_" not in answer.text


@pytest.mark.parametrize("query", [{}, {"table_type": "users"}, {"table_type": ""}])
def test_an_unknown_table_type(store: Store, query: dict[str, str]) -> None:
    client = store.service.client
    for answer in (
        client.post("/api/v1/items/u1", params=query, json={"a": {"x": 1}}),
        client.get("/api/v1/get/item/u1/a", params=query),
        client.post("/api/v1/get/item/u1", params=query, json={"a": ["x"]}),
    ):
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["query.table_type"]


# --- values and names -------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "int": 7,
    "zero": 0,
    "negative": -1,
    "38 digits": 10**38 - 1,
    "large": 10**40,
    "float": 0.1,
    "third": 1 / 3,
    "tiny": 1e-100,
    "huge": 1e100,
    "whole float": 2.0,
    "true": True,
    "false": False,
    "null": None,
    "text": "Grüße, 世界 🚀 \x00 \n",
    "empty text": "",
    "list": [1, 2.5, "x", None, True, [], {}],
    "empty list": [],
    "empty map": {},
    "nested": {"a": {"b": [{"c": 0.25, "d.e": None}]}},
    "like a wire value": {"S": "x", "N": "1"},
    "like a set": {"SS": ["a"]},
}
NAMES = [
    "a.b",
    "a[0]",
    "#n0",
    ":v",
    "data",
    "metadata",
    "features",
    "name",
    "size",
    "_",
    "日本",
    "🚀",
    "a b",
    "0",
    "x" * 500,
]


def test_values_come_back_equal(store: Store, uid: str) -> None:
    store.write(uid, {"values": VALUES}).raise_for_status()
    found = store.data(uid, "values")
    # As a number it is the same. JSON and DynamoDB do not tell a whole float from an int, and Python does.
    found["huge"] = float(found["huge"])
    assert found == VALUES
    assert {name: type(found[name]) for name in VALUES} == {
        **{name: type(value) for name, value in VALUES.items()},
        "whole float": int,
    }
    some = store.read_some(uid, {"values": list(VALUES)}).json()
    assert some["features"]["values"]["data"] == store.data(uid, "values")


def test_odd_names(store: Store, uid: str) -> None:
    features = {name: number for number, name in enumerate(NAMES)}
    categories = [name for name in NAMES if name not in {"data", "metadata"}]
    store.write(uid, dict.fromkeys(categories, features)).raise_for_status()
    some = store.read_some(uid, dict.fromkeys(categories, NAMES)).json()
    assert {category: found["data"] for category, found in some["features"].items()} == dict.fromkeys(
        categories, features
    )
    assert store.data(uid, "a b") == store.data(uid, "日本") == features
    store.write("ü/#?&", {"a": {"x": 1}})


def test_a_category_with_a_slash(store: Store, uid: str) -> None:
    store.write(uid, {"a/b": {"x": 1}}).raise_for_status()
    assert store.data(uid, "a%2Fb") == store.data(uid, "a/b") == {"x": 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"ok": {"x": 1}, "bad": {"y": NaN}}', "bad.features.y"),
        ('{"ok": {"x": 1}, "bad": {"y": [1, -Infinity]}}', "bad.features.y.1"),
        ('{"ok": {"x": 1}, "bad": {"y": 1e300}}', "bad.features.y"),
        ('{"ok": {"x": 1}, "bad": {"y": 1e-300}}', "bad.features.y"),
        ('{"ok": {"x": 1}, "bad": {"y": ' + "9" * 39 + "}}", "bad.features.y"),
        ('{"ok": {"x": 1}, "bad": {"y": "\\ud800"}}', "bad.features.y"),
        ('{"ok": {"x": 1}, "bad": {"y": ' + "[" * 40 + "]" * 40 + "}}", "bad.features"),
        ('{"ok": {"x": 1}, "bad": {"": 1}}', "body.data.bad.data"),
        ('{"ok": {"x": 1}, "bad": {"y": [{"": 1}]}}', "body.data.bad.data"),
        ('{"ok": {"x": 1}, "": {"y": 1}}', "body.data.."),
        ('{"ok": {"x": 1}, "bad": 3}', "body.data.bad"),
        ('{"ok": {"x": 1}, "bad": null}', "body.data.bad"),
        ('{"ok": {"x": 1}, "metadata": {"y": 1}}', "body.data.metadata."),
        ('{"data": {"ok": {"x": 1}}, "bad": {"y": 1}}', "body.bad"),
        ('{"data": {"ok": {"x": 1}}, "metadata": {"ttl": 3600}}', "body.metadata.ttl"),
        ('{"data": {"ok": {"x": 1}}, "metadata": {"ttl": 4102444800000}}', "body.metadata.ttl"),
        ('{"data": {"ok": {"x": 1}}, "metadata": {"who": "me"}}', "body.metadata.who"),
        ('{"data": {"ok": {"x": 1}}, "metadata": {"source": ""}}', "body.metadata.source"),
        ("{}", "body.data"),
        ("[]", "body"),
        ("null", "body"),
        ('"x"', "body"),
        ("", "body"),
        ('{"ok": {"x": 1}', "body."),
        (json.dumps({"x" * 1025: {"y": 1}, "ok": {"x": 1}}), "category"),
    ],
)
def test_what_is_refused_is_refused_as_a_whole(store: Store, uid: str, body: str, field: str) -> None:
    answer = store.write(uid, None, content=body.encode())
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"].startswith(field), answer.text
    assert store.stored(uid) == []
    assert not store.proxy.count("UpdateItem")
    assert not store.proxy.count("TransactWriteItems")


@pytest.mark.parametrize(
    "body", [{}, {"a": []}, {"a": [""]}, {"a": "x"}, {"": ["x"]}, ["a"], {str(n): ["x"] for n in range(101)}]
)
def test_reads_that_are_refused(store: Store, uid: str, body: object) -> None:
    answer = store.read_some(uid, body)
    assert answer.status_code == 422
    assert not store.proxy.received


def test_bodies_that_are_no_json(store: Store, uid: str) -> None:
    for content in (b"\xff\xfe", b'{"a": {"x": ' + b"[" * 100_000, b'{"a": {"x": ' + b"9" * 5000 + b"}}"):
        assert store.write(uid, None, content=content).status_code in {400, 422}
    assert store.service.client.post("/api/v1/items/u1?table_type=bright_uid", content=b"a=1").status_code == 422
    assert store.stored(uid) == []


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_hundred_categories_and_no_more(store: Store, uid: str) -> None:
    categories = {f"c{number}": {"x": number} for number in range(100)}
    assert store.write(uid, categories).json()["total_features"] == 100
    some = store.read_some(uid, {category: ["x"] for category in categories}).json()
    assert len(some["features"]) == 100
    answer = store.write(uid, {**categories, "another": {"x": 1}})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.data")


def test_400_kb_and_4_mb(store: Store, uid: str) -> None:
    nearly = {"x": "y" * (400 * 1024 - 500)}
    assert store.write(uid, {"a": nearly}).status_code == 200
    answer = store.write(uid, {"ok": {"x": 1}, "large": {"x": "y" * 400 * 1024}})
    assert answer.status_code == 413
    assert "'large' takes" in answer.json()["detail"]
    answer = store.write(uid, {f"c{number}": nearly for number in range(11)})
    assert answer.status_code == 413
    assert "together" in answer.json()["detail"]
    assert [item["category"]["S"] for item in store.stored(uid)] == ["a"]


def test_a_body_over_8_mb_is_not_read(store: Store, uid: str) -> None:
    answer = store.write(uid, None, content=b" " * (8 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    parts = itertools.repeat(b" " * 65536, 129)  # of unknown length
    answer = store.service.client.post("/api/v1/items/u1?table_type=bright_uid", content=parts, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "A request may have 8,388,608 bytes."


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_write_replaces_everything_but_when_it_was_created(store: Store, uid: str) -> None:
    metadata = {"source": "batch", "compute_id": "run-7", "ttl": 4102444800}
    store.write(uid, {"data": {"a": {"x": 1, "y": 2}, "b": {"x": 1}}, "metadata": metadata}).raise_for_status()
    first = store.metadata(uid, "a")
    store.write(uid, {"a": {"z": 3}}).raise_for_status()
    second = store.metadata(uid, "a")
    assert store.data(uid, "a") == {"z": 3}
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]
    assert (second["source"], second["compute_id"], second["ttl"]) == ("api", None, None)
    assert store.metadata(uid, "b") == {**store.metadata(uid, "b"), **metadata}
    store.write(uid, {"a": {}}).raise_for_status()
    assert store.data(uid, "a") == {}


def test_metadata_of_a_category_and_what_was_read_sent_again(store: Store, uid: str) -> None:
    given = {"a": {"data": {"x": 1}, "metadata": {"source": "own"}}, "b": {"x": 2}}
    store.write(uid, {"data": given, "metadata": {"source": "common"}}).raise_for_status()
    assert (store.metadata(uid, "a")["source"], store.metadata(uid, "b")["source"]) == ("own", "common")
    read = store.read(uid, "a").json()["features"]
    store.write(uid, {"a": read}).raise_for_status()
    assert store.read(uid, "a").json()["features"]["data"] == read["data"]
    assert store.metadata(uid, "a")["created_at"] == read["metadata"]["created_at"]


def test_each_write_is_one_request(store: Store, uid: str) -> None:
    store.write(uid, {"a": {"x": 1}}).raise_for_status()
    assert [request.operation for request in store.proxy.received] == ["UpdateItem"]
    store.write(uid, {"a": {"x": 1}, "b": {"x": 1}}).raise_for_status()
    assert [request.operation for request in store.proxy.received] == ["UpdateItem", "TransactWriteItems"]


def test_expired_features_are_gone_before_dynamodb_deletes_them(store: Store, uid: str) -> None:
    store.write(uid, {"data": {"a": {"x": 1}}, "metadata": {"ttl": int(time.time()) + 1}}).raise_for_status()
    assert store.data(uid, "a") == {"x": 1}
    (item,) = store.stored(uid)
    table = f"{store.server.table_prefix}_dev_bright_uid"
    store.server.client.put_item(TableName=table, Item={**item, "ttl": {"N": str(int(time.time()) - 1)}})
    assert store.read(uid, "a").status_code == 404
    assert store.read_some(uid, {"a": ["x"]}).status_code == 404


def test_a_stored_item_that_is_none_of_ours_is_not_the_callers_fault(store: Store, uid: str) -> None:
    table = f"{store.server.table_prefix}_dev_bright_uid"
    item = {"bright_uid": {"S": uid}, "category": {"S": "a"}, "features": {"S": "secret"}}
    store.server.client.put_item(TableName=table, Item=item)
    for answer in (store.read(uid, "a"), store.read_some(uid, {"a": [str(number) for number in range(300)]})):
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:problem-type:internal-error")
        assert "secret" not in answer.text
    assert store.read_some(uid, {"a": ["x"]}).json()["missing"] == {"a": ["x"]}


def test_concurrent_writers_of_one_item(store: Store, uid: str) -> None:
    """Of two categories written together, readers find both of one writer; nobody loses when they were created."""
    store.write(uid, {"a": {"round": -1}, "b": {"round": -1}}).raise_for_status()
    created = store.metadata(uid, "a")["created_at"]

    def write(number: int) -> int:
        together = {"a": {"round": number}, "b": {"round": number}}
        return store.write(uid, together if number % 3 else {"c": {"round": number}}).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(write, range(48)))
    # A transaction that met others at every try says so, and wrote nothing.
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 40
    assert store.data(uid, "a") == store.data(uid, "b")
    assert store.data(uid, "a")["round"] >= 0
    assert store.metadata(uid, "a")["created_at"] == created
    assert len(store.stored(uid)) == 3


# --- faults -----------------------------------------------------------------------------------------------------------


def test_health(store: Store) -> None:
    answer = store.health()
    body = answer.json()
    assert answer.status_code == 200
    assert abs(datetime.now(UTC) - datetime.fromisoformat(body.pop("timestamp"))).total_seconds() < 10
    assert body == {
        "status": "healthy",
        "dynamodb_connection": True,
        "tables_available": ["bright_uid", "account_id", "account_pid"],
    }


def test_the_database_goes_away_and_comes_back(store: Store, uid: str) -> None:
    store.write(uid, {"a": {"x": 1}}).raise_for_status()
    store.proxy.go_away()
    try:
        with in_time():
            answer = store.health()
        assert answer.status_code == 503
        assert (answer.json()["status"], answer.json()["dynamodb_connection"]) == ("unhealthy", False)
        assert answer.json()["tables_available"] == []
        for refused in (store.read(uid, "a"), store.write(uid, {"a": {"x": 2}}), store.read_some(uid, {"a": ["x"]})):
            assert refused.status_code == 503
            assert "127.0.0.1" not in refused.text
    finally:
        store.proxy.come_back()
    assert store.health().json()["status"] == "healthy"
    assert store.data(uid, "a") == {"x": 1}


def test_health_answers_in_time_when_the_database_hangs(store: Store) -> None:
    store.proxy.inject(rules.hang(applied=False), "DescribeTable", times=None)
    with in_time():
        answer = store.health()
    assert answer.status_code == 503
    store.proxy.calm()
    store.proxy.release()
    assert store.health().status_code == 200


def test_a_table_that_is_missing(store: Store) -> None:
    is_account_id = lambda body: body["TableName"].endswith("account_id")  # noqa: E731
    store.proxy.inject(rules.refusal("ResourceNotFoundException"), "DescribeTable", when=is_account_id)
    body = store.health().json()
    assert (body["status"], body["dynamodb_connection"]) == ("unhealthy", True)
    assert body["tables_available"] == ["bright_uid", "account_pid"]


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (rules.reset(applied=False), "UpdateItem"),
        (rules.reset(applied=True), "UpdateItem"),
        (rules.corrupt(), "UpdateItem"),
        (rules.hang_up(applied=True), "TransactWriteItems"),
        (rules.cancelled("None", "TransactionConflict"), "TransactWriteItems"),
        (rules.unavailable(), "TransactWriteItems"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else value,
)
def test_a_fault_that_passes_is_not_seen(store: Store, uid: str, fault: Fault, operation: str) -> None:
    body = {"a": {"x": 1}} if operation == "UpdateItem" else {"a": {"x": 1}, "b": {"x": 1}}
    store.write(uid, body).raise_for_status()
    created = store.metadata(uid, "a")["created_at"]
    store.proxy.inject(fault, operation)
    store.write(uid, {name: {"x": 2} for name in body}).raise_for_status()
    assert store.data(uid, "a") == {"x": 2}
    assert store.metadata(uid, "a")["created_at"] == created


def test_throttled(store: Store, uid: str) -> None:
    store.proxy.inject(rules.throttle(wait_ms=1), "GetItem", times=2)
    answer = store.read(uid, "a")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:problem-type:overloaded"


# --- the process ------------------------------------------------------------------------------------------------------


def test_restarts(store: Store, uid: str) -> None:
    store.write(uid, {"a": {"x": 1}}).raise_for_status()
    assert store.service.stop() in (0, -15)
    assert store.service.log.rstrip().splitlines()[-1].startswith("INFO:     Finished server process")
    store.service.start()
    assert store.data(uid, "a") == {"x": 1}


def test_killed_in_the_middle_of_writes(store: Store, uid: str) -> None:
    """What was answered is there, and of two categories that are written together both are, or none."""
    answered: list[int] = []

    def write(number: int) -> None:
        try:
            store.write(uid, {"a": {"n": number}, "b": {"n": number}, str(number): {"n": number}}).raise_for_status()
        except httpx.HTTPError:
            return
        answered.append(number)
        if len(answered) == 10:
            store.service.kill()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(30)))
    store.proxy.settle()
    store.service.start()
    assert 10 <= len(answered) < 30
    assert store.data(uid, "a") == store.data(uid, "b")
    assert {str(number) for number in answered} <= {item["category"]["S"] for item in store.stored(uid)}
    store.write(uid, {"a": {"n": -1}, "b": {"n": -1}}).raise_for_status()
    assert store.data(uid, "a") == store.data(uid, "b") == {"n": -1}


def test_it_starts_without_its_database_and_heals(server: Server, proxy: Proxy, running: web.Service) -> None:
    arguments = ["-m", "examples.feature_store", "--endpoint", proxy.url, "--port", "{port}"]
    proxy.go_away()
    try:
        with web.service(arguments, {"DYNAMODB_TABLE_PREFIX": server.table_prefix}) as service:
            assert service.client.get("/api/v1/health").status_code == 503
            proxy.come_back()
            assert service.client.get("/api/v1/health").json()["status"] == "healthy"
            assert service.client.get("/api/v1/get/item/u/a?table_type=bright_uid").status_code == 404
    finally:
        proxy.go_away()
        proxy.come_back()


def test_it_starts_on_the_embedded_server_with_one_command(uid: str) -> None:
    with web.service(["-m", "examples.feature_store", "--port", "{port}"], {}) as service:
        url = f"/api/v1/items/{uid}?table_type=account_pid"
        service.client.post(url, json={"a": {"x": 0.5}}).raise_for_status()
        answer = service.client.get(f"/api/v1/get/item/{uid}/a?table_type=account_pid")
        assert answer.json()["features"]["data"] == {"x": 0.5}
        assert service.client.get("/api/v1/health").json()["status"] == "healthy"
        assert service.stop() in (0, -15)


def test_an_endpoint_that_is_none_is_a_line_and_no_traceback() -> None:
    command = [sys.executable, "-m", "examples.feature_store", "--endpoint", "localhost:8000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "error: endpoint_url is 'localhost:8000': must be http" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_service_written_by_hand_answers_the_same(store: Store, uid: str) -> None:
    environment = {
        "FEATURE_STORE_ENDPOINT": store.proxy.url,
        "FEATURE_STORE_TABLE_PREFIX": f"{store.server.table_prefix}_dev_",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    values = {name: value for name, value in VALUES.items() if name not in {"large", "huge"}}  # which boto3 refuses
    body = {"data": {"a": values, "b": {"x": 1.5}}, "metadata": {"compute_id": "run-7", "ttl": 4102444800}}
    query = {"table_type": "bright_uid"}
    with web.service(["-m", "uvicorn", "examples.feature_store.by_hand:app", "--port", "{port}"], environment) as hand:
        for given in ({"a": {"old": 1}}, body):
            written = hand.client.post(f"/api/v1/items/{uid}", params=query, json=given).raise_for_status().json()
        assert written == store.write(uid, body).json()
        for path in (f"/api/v1/get/item/{uid}/a", f"/api/v1/get/item/{uid}/b"):
            assert hand.client.get(path, params=query).json() == store.service.client.get(path, params=query).json()
        wanted = {"a": ["float", "nested", "none"], "c": ["x"]}
        asked = hand.client.post(f"/api/v1/get/item/{uid}", params=query, json=wanted)
        assert asked.raise_for_status().json() == store.read_some(uid, wanted).json()


def test_the_load_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert load(["--seconds", "0.1", "--rounds", "1", "--connections", "4", "--delay-ms", "0"]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ") and line.endswith("| 0 |")]
    assert len(lines) == 8


def test_openapi_shows_what_is_sent_and_answered() -> None:
    document = app.openapi()
    write = document["paths"]["/api/v1/items/{identifier}"]["post"]
    assert write["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Write")
    assert set(write["responses"]) == {"200", "413", "422", "500", "503", "504"}
    assert "application/problem+json" in write["responses"]["422"]["content"]
    schemas = document["components"]["schemas"]
    for name, inner in (("Write", "CategoryToWrite"), ("CategoryToWrite", "JsonValue")):
        bare, wrapped = schemas[name]["anyOf"]
        assert bare["additionalProperties"] == {"$ref": f"#/components/schemas/{inner}"}
        assert (set(wrapped["properties"]), wrapped["required"]) == ({"data", "metadata"}, ["data"])
    assert set(TableType) < set(schemas["CategoryRead"]["properties"])
    assert {"CategoryRead", "CategoriesRead", "Health", "Problem", "TableType"} <= set(
        document["components"]["schemas"]
    )
