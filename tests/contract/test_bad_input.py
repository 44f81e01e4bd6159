"""What cannot work is refused with what, where and what to do - and before anything is sent, where that is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessDeniedError,
    ConnectionError,
    CredentialsError,
    DynamoDBConfig,
    DynamoDBWrapperError,
    F,
    InvalidCursorError,
    ItemTooLargeError,
    ThrottlingError,
    ValidationError,
    transact_get,
    transact_write,
)
from tests.contract.shop import Make, Orders, order, requests
from tests.servers import Server
from tests.timing import in_time


@pytest.fixture
def orders(make: Make) -> Orders:
    repository = make(Orders)
    repository.create(order())
    return repository


NAN = float("nan")
LONG = Decimal("1." + "1" * 38)


def cases(orders: Orders) -> Iterator[tuple[str, Callable[[], Any], tuple[str, ...]]]:
    """What is tried, and what the message must name."""
    model = order()
    yield "unknown field in a patch", lambda: orders.patch("c1", "o1", colour="red"), ("colour", "Order")
    yield "unknown field in a condition", lambda: orders.patch("c1", "o1", note="x", when=F.colour == 1), ("colour",)
    yield "unknown field in a filter", lambda: orders.query("c1").where(F.colour == 1), ("colour",)
    yield "unknown field in a projection", lambda: orders.get("c1", "o1", attributes=["colour"]), ("colour",)
    yield "unknown place", lambda: orders.patch("c1", "o1", {"address.planet": "x"}), ("address.planet",)
    yield "another model", lambda: orders.create({"customer_id": "c1"}), ("Order", "dict")  # type: ignore[arg-type]
    for read in (orders.get, orders.get_or_raise, orders.exists, orders.delete, orders.get_raw):
        name = str(read.__name__)
        yield f"{name}: wrong key type", lambda read=read: read(5, "o1"), ("customer_id", "5")
        yield f"{name}: wrong sort key type", lambda read=read: read("c1", 5), ("order_id", "5")
        yield f"{name}: missing sort key", lambda read=read: read("c1"), ("order_id", "sort key")
        yield f"{name}: None", lambda read=read: read(None, "o1"), ("customer_id", "None")
        yield f"{name}: empty key", lambda read=read: read("", "o1"), ("customer_id", "empty")
        yield f"{name}: empty sort key", lambda read=read: read("c1", ""), ("order_id", "empty")
        yield f"{name}: long key", lambda read=read: read("x" * 2049, "o1"), ("customer_id", "2,048")
        yield f"{name}: long sort key", lambda read=read: read("c1", "é" * 513), ("order_id", "1,024")
    yield "patch: missing sort key", lambda: orders.patch("c1", note="x"), ("order_id",)
    yield "query: no partition", lambda: orders.query(), ("customer_id",)
    for write in (orders.create, orders.put, orders.update):
        name = str(write.__name__)
        yield f"{name}: empty key", lambda write=write: write(order("", "o1")), ("customer_id", "empty")
        yield f"{name}: empty sort key", lambda write=write: write(order("c1", "")), ("order_id", "empty")
        yield f"{name}: NaN", lambda write=write: write(model.model_copy(update={"total": Decimal("NaN")})), ("total",)
        yield f"{name}: 39 digits", lambda write=write: write(model.model_copy(update={"total": LONG})), ("total", "38")
        yield (
            f"{name}: over 400 KB",
            lambda write=write: write(order("c1", "big", note="x" * 420_000)),
            ("409,600", "note"),
        )
    yield "patch: NaN", lambda: orders.patch("c1", "o1", total=NAN), ("total",)
    yield "patch: 39 digits", lambda: orders.patch("c1", "o1", total=LONG), ("total", "38")
    yield "patch: wrong type", lambda: orders.patch("c1", "o1", count="many"), ("count", "many")
    yield "condition: NaN", lambda: orders.patch("c1", "o1", note="x", when=F.total > NAN), ("total",)
    yield "condition: None", lambda: orders.patch("c1", "o1", note="x", when=F.note == None), ("not_exists",)  # noqa: E711
    for attributes in ("note", 5, [5]):
        yield (
            f"attributes={attributes!r}",
            lambda given=attributes: orders.get("c1", "o1", attributes=given),
            ("5" if attributes != "note" else "note",),
        )
    for view in (5, int, BaseModel):
        yield (
            f"project({view!r})",
            lambda given=view: orders.scan().project(given),
            ("5" if view == 5 else view.__name__,),
        )
    yield "changes that are no mapping", lambda: orders.patch("c1", "o1", changes=5), ("changes", "5")  # type: ignore[arg-type]
    for together in (transact_write, transact_get):
        yield f"{together.__name__}: no list", lambda send=together: send(None), ("list", "None")
    yield "progress", lambda: orders.get_many([("c1", "o1")], progress=5), ("progress", "5")  # type: ignore[call-overload]
    yield "foreign cursor", lambda: orders.query("c1").page(1, "c29tZXRoaW5n"), ("cursor",)
    yield "unknown zone", lambda: orders.get_with_timezone("c1", "o1", "Mars/Base"), ("Mars/Base",)
    yield "unknown index", lambda: orders.query("x", index="by_colour"), ("by_colour", "by_status")


def test_bad_input_is_refused_before_anything_is_sent(orders: Orders) -> None:
    before = orders.get("c1", "o1")
    for what, attempt, named in cases(orders):
        with requests() as sent, pytest.raises(ValidationError) as caught:
            attempt()
        assert sent == [], what
        for text in named:
            assert text in str(caught.value), (what, str(caught.value))
        assert len(str(caught.value)) < 1000, what
    assert orders.list_all() == [before]


def test_what_only_the_server_knows_is_still_a_clear_error(orders: Orders) -> None:
    orders.patch("c1", "o1", note="x" * 300_000)
    with pytest.raises(ValidationError) as caught:
        orders.patch("c1", "o1", reference="y", words=["x" * 200_000])
    assert isinstance(caught.value, ItemTooLargeError)
    assert caught.value.operation == "UpdateItem"
    assert orders.table_name in str(caught.value)
    with pytest.raises(ValidationError):
        orders.patch("c1", "o1", {"address.city": "Bath"})  # there is no address to put the city into
    with pytest.raises(ValidationError):
        orders.query_by_pk("c1", FilterExpression="this is ( no expression")
    cursor = orders.query("c1").page(1)
    assert cursor.cursor is None or isinstance(cursor.cursor, str)


def test_a_configuration_is_needed() -> None:
    for wrong in (None, {}, "dev"):
        with pytest.raises(ValidationError, match="DynamoDBConfig"):
            Orders(wrong)  # type: ignore[arg-type]


def test_a_foreign_cursor_is_never_a_silent_restart(orders: Orders, make: Make) -> None:
    orders.create(order("c1", "o2"))
    cursor = orders.query("c1").page(1).cursor
    assert cursor is not None
    with pytest.raises(InvalidCursorError):
        make(Orders, cursor_secret="s").query("c1").page(1, cursor)


# --- no server, no credentials --------------------------------------------------------------------------------------


def configured(**settings: Any) -> DynamoDBConfig:
    defaults: dict[str, Any] = {
        "region_name": "us-east-1",
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "very-secret",
        "retries": 0,
        "connect_timeout_seconds": 1,
        "timeout_seconds": 1,
    }
    return DynamoDBConfig(**{**defaults, **settings})


def test_an_unreachable_endpoint_fails_within_the_timeout() -> None:
    for endpoint in ("http://127.0.0.1:9", "http://192.0.2.1:8000"):
        orders = Orders(configured(endpoint_url=endpoint))
        with in_time(), pytest.raises(ConnectionError) as caught:
            orders.get("c1", "o1")
        assert endpoint in str(caught.value)
        assert caught.value.original_error is not None
        assert orders.health_check(timeout_seconds=2) is False


def test_missing_credentials_say_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = Orders(DynamoDBConfig(region_name="us-east-1", endpoint_url="http://127.0.0.1:9", retries=0))
    for attempt in (lambda: orders.get("c1", "o1"), lambda: orders.create(order()), lambda: list(orders.scan())):
        with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
            attempt()


def test_a_missing_region_says_how_to_give_it() -> None:
    orders = Orders(DynamoDBConfig(aws_access_key_id="a", aws_secret_access_key="b"))
    with pytest.raises(ValidationError, match="AWS_REGION"):
        orders.get("c1", "o1")


class Refusing:
    """A server that refuses every request with one AWS error."""

    def __init__(self) -> None:
        self.answer = ("", "")
        refusing = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                code, message = refusing.answer
                body = json.dumps({"__type": f"com.amazon.coral.service#{code}", "message": message}).encode()
                self.send_response(400)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("x-amzn-RequestId", "REQUEST-1")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    refusing = Refusing()
    thread = Thread(target=refusing.server.serve_forever, args=(0.05,))
    thread.start()
    yield refusing
    refusing.server.shutdown()
    refusing.server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("ExpiredTokenException", CredentialsError, "renew"),
        ("UnrecognizedClientException", CredentialsError, "access key"),
        ("InvalidSignatureException", CredentialsError, "clock"),
        ("AccessDeniedException", AccessDeniedError, "not authorized"),
        ("ProvisionedThroughputExceededException", ThrottlingError, ""),
        ("SomethingNewException", DynamoDBWrapperError, ""),
    ],
)
def test_what_aws_refuses_has_a_class_of_its_own(
    refusing: Refusing, code: str, kind: type[DynamoDBWrapperError], advice: str
) -> None:
    refusing.answer = (code, "User is not authorized to perform this")
    orders = Orders(configured(endpoint_url=refusing.url, timeout_seconds=20))
    model = order()
    for attempt in (lambda: orders.get("c1", "o1"), lambda: orders.create(model), lambda: orders.query("c1").all()):
        with pytest.raises(kind) as caught:
            attempt()
        assert caught.value.code == code
        assert caught.value.request_id == "REQUEST-1"
        assert caught.value.operation in ("GetItem", "PutItem", "Query")
        assert advice in str(caught.value)
        assert orders.table_name in str(caught.value)
        assert "very-secret" not in repr(caught.value) + str(caught.value)
    assert (model.version, model.created_at) == (0, None)


def test_the_server_fixture_is_what_it_says(server: Server, orders: Orders) -> None:
    """The suite looks at the same tables as the library does."""
    assert server.client.describe_table(TableName=orders.table_name)["Table"]["TableStatus"] == "ACTIVE"
    got = orders.get_or_raise("c1", "o1")
    assert got.created_at is not None
    assert got.created_at <= datetime.now(UTC)
