"""The FastAPI integration: inside this process, and as a service that uvicorn runs."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("fastapi")

import botocore.exceptions
import httpx
from fastapi import APIRouter, FastAPI
from pydantic import create_model

from dynamodb_wrapper import DynamoDBConfig
from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    BatchIncompleteError,
    CancellationReason,
    ConditionFailedError,
    ConnectionError,
    CredentialsError,
    DeadlineExceededError,
    DeclarationError,
    DynamoDBWrapperError,
    ExpressionError,
    IdempotentParameterMismatchError,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemTooLargeError,
    MultipleItemsFoundError,
    SchemaVersionError,
    ServerError,
    StoredItemError,
    TableNotFoundError,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    UniqueViolationError,
    ValidationError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.integrations.fastapi import DynamoDB, handle_errors, handlers, problem_responses
from dynamodb_wrapper.transport import connection_for, drop_embedded
from tests.faults import rules
from tests.faults.proxy import Fault, Proxy
from tests.integration import web
from tests.integration.web_shop import AsyncOrders, Order, Orders, app, dynamodb
from tests.servers import RunningServer, Server

Call = Callable[..., httpx.Response]


def call(application: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request to an application in this process."""

    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(sent())


@pytest.fixture
def shop() -> Iterator[Orders]:
    """The repository of the shop, which is on an embedded server for this test."""
    name = f"fastapi-{uuid4().hex}"
    config = DynamoDBConfig.embedded(name)
    app.dependency_overrides[dynamodb.config] = lambda: config
    orders = Orders(config)
    orders.ensure_table()
    yield orders
    app.dependency_overrides.clear()
    drop_embedded(name)


# --- which error is which problem -----------------------------------------------------------------------------------


def reasons(*errors: DynamoDBWrapperError | None) -> TransactionCanceledError:
    listed = [CancellationReason("None" if error is None else "Some", error=error) for error in errors]
    return TransactionCanceledError("cancelled", reasons=listed)


def located(error: DynamoDBWrapperError) -> DynamoDBWrapperError:
    error.context.update(table_name="secret-table", key={"id": "secret-key"})
    return error


def of_aws(error: DynamoDBWrapperError) -> DynamoDBWrapperError:
    return error.answered(operation="PutItem", request_id="R1", code="ValidationException")


PROBLEMS: list[tuple[DynamoDBWrapperError, int, str]] = [
    (ItemNotFoundError("secret-table", {"id": "secret-key"}), 404, "not-found"),
    (ItemAlreadyExistsError("m"), 409, "already-exists"),
    (VersionConflictError("m"), 409, "version-conflict"),
    (UniqueViolationError("m", fields=("email",), owner={"id": "secret-key"}), 409, "not-unique"),
    (ConditionFailedError("m"), 412, "condition-failed"),
    (ValidationError("m", {"name": "is empty"}), 422, "invalid-value"),
    (IdempotentParameterMismatchError("m"), 422, "idempotency-key-reused"),
    (InvalidCursorError("m"), 400, "invalid-cursor"),
    (ItemTooLargeError("m"), 413, "item-too-large"),
    (ThrottlingError("m"), 503, "overloaded"),
    (ConnectionError("m"), 503, "unavailable"),
    (ServerError("m"), 503, "unavailable"),
    (DeadlineExceededError("m"), 503, "unavailable"),
    (TransactionConflictError("m"), 503, "busy"),
    (WriteOutcomeUnknownError("m", key={"id": "secret-key"}), 504, "outcome-unknown"),
    (BatchIncompleteError("m", unprocessed=["secret-key"], done=3), 503, "incomplete"),
    (BatchIncompleteError("m", ThrottlingError("m")), 503, "incomplete"),
    (BatchIncompleteError("m", WriteOutcomeUnknownError("m")), 503, "incomplete"),
    (BatchIncompleteError("m", AccessDeniedError("m")), 500, "internal-error"),
    # The program, its deployment and its data; whoever sent the request can do nothing about them.
    (DynamoDBWrapperError("secret-table"), 500, "internal-error"),
    (ValidationError("m"), 500, "internal-error"),
    (located(StoredItemError("a stored item is no valid Order", {"total": "secret"})), 500, "internal-error"),
    (StoredItemError("a stored item's total is not valid", {"total": "secret"}), 500, "internal-error"),
    (of_aws(ValidationError("m", {"IndexName": "secret-index"})), 500, "internal-error"),
    (
        ValidationError("m", {"region_name": "missing"}, botocore.exceptions.NoRegionError()),
        500,
        "internal-error",
    ),
    (SchemaVersionError("m", found=3, known=2), 500, "internal-error"),
    (ExpressionError("m", {"secret": "no such field"}), 500, "internal-error"),
    (DeclarationError("m", {"secret": "m"}), 500, "internal-error"),
    (TableNotFoundError("secret-table"), 500, "internal-error"),
    (CredentialsError("secret"), 500, "internal-error"),
    (AccessDeniedError("secret"), 500, "internal-error"),
    (MultipleItemsFoundError("secret"), 500, "internal-error"),
    # A transaction is what its first lasting reason is; what passes by itself counts only alone.
    (reasons(None, ItemAlreadyExistsError("m")), 409, "already-exists"),
    (reasons(TransactionConflictError("m"), ConditionFailedError("m")), 412, "condition-failed"),
    (reasons(ConditionFailedError("m"), ItemNotFoundError("t", "k")), 412, "condition-failed"),
    (reasons(TransactionConflictError("m"), None), 503, "busy"),
    (reasons(ThrottlingError("m")), 503, "overloaded"),
    (reasons(of_aws(ValidationError("m", {"x": "y"}))), 500, "internal-error"),
    (reasons(), 409, "transaction-cancelled"),
]


@pytest.mark.parametrize(("error", "status", "name"), PROBLEMS, ids=lambda value: str(value)[:30])
def test_every_error_is_a_problem(error: DynamoDBWrapperError, status: int, name: str) -> None:
    application = FastAPI()
    handle_errors(application)

    @application.get("/")
    async def fail() -> None:
        raise error

    answer = call(application, "GET", "/")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:problem-type:{name}", status)
    assert problem["title"]
    assert problem["detail"]
    assert "secret" not in answer.text
    # Who is told to come again is told when; who must not send a write again is not.
    is_to_be_repeated = name in {"overloaded", "unavailable", "busy"}
    assert answer.headers.get("retry-after") == ("1" if is_to_be_repeated else None)


def test_a_problem_names_the_fields() -> None:
    application = FastAPI()
    handle_errors(application)

    @application.get("/invalid")
    async def invalid() -> None:
        raise ValidationError("m", {"name": "is empty", "address.city": "too long"})

    @application.get("/taken")
    async def taken() -> None:
        raise UniqueViolationError("m", fields=("email", "tenant"), owner={"id": "somebody"})

    assert call(application, "GET", "/invalid").json()["errors"] == [
        {"field": "name", "message": "is empty"},
        {"field": "address.city", "message": "too long"},
    ]
    errors = call(application, "GET", "/taken").json()["errors"]
    assert errors == [{"field": "email", "message": "Another item has this value."}]


# --- what is logged ---------------------------------------------------------------------------------------------------


def test_the_log_has_what_the_answer_does_not(shop: Orders, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dynamodb_wrapper.integrations")
    answer = call(app, "GET", "/orders/nobody")
    (record,) = [record for record in caplog.records if "integrations" in record.name]
    assert record.levelno == logging.INFO
    assert record.exc_info is None
    request_id = answer.json()["request_id"]
    assert request_id == answer.headers["x-request-id"] == record.request_id  # type: ignore[attr-defined]
    for expected in (request_id, "GET", "/orders/nobody", "404", "ItemNotFoundError", shop.table_name, "'nobody'"):
        assert expected in record.getMessage()
    assert shop.table_name not in answer.text


def test_what_the_program_did_wrong_is_logged_with_its_traceback(
    shop: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    shop.create(Order(order_id="o1"))
    assert call(app, "PATCH", "/orders/o1", json={"nothing": 1}).status_code == 500
    (record,) = [record for record in caplog.records if "integrations" in record.name]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ExpressionError


@pytest.mark.parametrize(
    ("given", "is_used"),
    [("0af7651916cd43dd", True), ("Root=1-67891233-abc;x", False), ("a" * 129, False), ("a b", False), ("", False)],
)
def test_the_callers_request_id_is_used_if_it_is_fit_for_a_log(shop: Orders, given: str, is_used: bool) -> None:
    answer = call(app, "GET", "/orders/nobody", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is is_used
    assert answer.headers["x-request-id"] == answer.json()["request_id"] != ""


def test_a_log_line_is_one_line(shop: Orders, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dynamodb_wrapper.integrations")
    assert call(app, "GET", "/orders/a%0AERROR%20forged").status_code == 404
    (record,) = [record for record in caplog.records if "integrations" in record.name]
    assert "\n" not in record.getMessage()


# --- endpoints on repositories ----------------------------------------------------------------------------------------


def test_what_endpoints_of_a_shop_answer(shop: Orders) -> None:
    order = {"order_id": "o1", "status": "open", "total": 1.5, "count": 0, "email": "a@example.org", "version": 0}
    created = call(app, "POST", "/orders", json=order)
    assert (created.status_code, created.json()) == (201, {**order, "version": 1})
    assert call(app, "GET", "/orders/o1").json() == created.json()
    assert call(app, "GET", "/blocking/o1").json() == created.json()
    for method, path, body, status, name in [
        ("GET", "/orders/o2", None, 404, "not-found"),
        ("GET", "/blocking/o2", None, 404, "not-found"),
        ("POST", "/orders", order, 409, "already-exists"),
        ("POST", "/orders", {**order, "order_id": "o2"}, 409, "not-unique"),
        ("PUT", "/orders", {**order, "version": 7}, 409, "version-conflict"),
        ("POST", "/orders", {"order_id": ""}, 422, "invalid-value"),
        ("GET", f"/orders/{'x' * 2049}", None, 422, "invalid-value"),
        ("PATCH", "/orders/o1", {"count": "many"}, 422, "invalid-value"),
        ("POST", "/orders", {"order_id": 3}, 422, "invalid-request"),
        ("POST", "/orders", {"order_id": "o3", "status": "x" * 500_000}, 422, "invalid-value"),  # an index key
        ("POST", "/orders", {"order_id": "o3", "email": "x" * 500_000}, 413, "item-too-large"),
        ("POST", "/blocking/both", [{"order_id": "o3"}, {"order_id": "o2"}], 412, "condition-failed"),
        ("POST", "/blocking/both", [order, {"order_id": "o2"}], 409, "already-exists"),
    ]:
        answer = call(app, method, path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:problem-type:{name}"), (method, path)
        assert "secret" not in answer.text
    assert call(app, "PATCH", "/orders/o1", json={"status": "paid"}).json()["version"] == 2
    answer = call(app, "PATCH", "/orders/o1", json={"status": "open"})
    assert (answer.status_code, answer.json()["type"]) == (412, "urn:problem-type:condition-failed")


def test_a_stored_item_that_is_no_model_is_not_the_callers_fault(shop: Orders) -> None:
    shop.table.put_item(Item={"order_id": "o1", "status": "open", "total": "secret", "version": 1})
    for method, path, body in [
        ("GET", "/orders/o1", None),
        ("GET", "/totals/o1", None),
        ("GET", "/orders?status=open", None),
        ("PATCH", "/orders/o1", {"count": 1}),
    ]:
        answer = call(app, method, path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:problem-type:internal-error"), path
        assert "secret" not in answer.text


def test_pages(shop: Orders) -> None:
    for number in range(5):
        shop.create(Order(order_id=f"o{number}"))
    seen: list[str] = []
    cursor = first = None
    for _ in range(3):
        query = {"status": "open", "size": "2", **({"cursor": cursor} if cursor else {})}
        page = call(app, "GET", "/orders", params=query).json()
        seen += [order["order_id"] for order in page["items"]]
        cursor = page["cursor"]
        first = first or cursor
    assert (seen, cursor) == (["o0", "o1", "o2", "o3", "o4"], None)
    assert isinstance(first, str)
    for status, wrong in (("open", first[:-2]), ("open", "x"), ("open", ""), ("paid", first)):
        answer = call(app, "GET", "/orders", params={"status": status, "cursor": wrong})
        assert answer.status_code == 400
        assert answer.json()["errors"] == [{"field": "cursor", "message": "Not a cursor of this query."}]
    for size in ("0", "101", "x"):
        answer = call(app, "GET", "/orders", params={"status": "open", "size": size})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.size"


def test_fastapis_own_errors(shop: Orders) -> None:
    answer = call(app, "GET", "/teapot")
    assert (answer.status_code, answer.headers["x-kept"]) == (418, "yes")
    assert answer.json() == {
        "type": "about:blank",
        "title": "I'm a Teapot",
        "status": 418,
        "request_id": answer.headers["x-request-id"],
    }
    assert call(app, "GET", "/detailed").json() == {"detail": {"anything": [1]}}
    assert call(app, "GET", "/nowhere").headers["content-type"] == "application/problem+json"
    assert call(app, "DELETE", "/teapot").headers["allow"] == "GET"
    # FastAPI's own answer repeats the value, and NaN is no JSON.
    headers = {"content-type": "application/json"}
    answer = call(app, "POST", "/orders", content=b'{"order_id": NaN}', headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.order_id"
    answer = call(app, "POST", "/orders", content=b'{"total": 1', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem-type:invalid-request")
    many = {"given": [{"order_id": 1}] * 500}
    answer = call(app, "POST", "/blocking/both", json=many["given"])
    assert len(answer.json()["errors"]) == 100


def test_fastapis_own_errors_stay_as_they_are_unless_asked_for() -> None:
    application = FastAPI()
    handle_errors(application)

    @application.get("/{number}")
    async def read(number: int) -> int:
        return number

    assert call(application, "GET", "/x").json()["detail"][0]["loc"] == ["path", "number"]
    assert call(application, "GET", "/a/b").json() == {"detail": "Not Found"}
    responses = call(application, "GET", "/openapi.json").json()["paths"]["/{number}"]["get"]["responses"]
    assert "application/json" in responses["422"]["content"]


def test_on_a_websocket_errors_are_raised_as_they_are(shop: Orders) -> None:
    scope = {"type": "websocket", "path": "/socket", "query_string": b"", "headers": [], "app": app}

    async def connect() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            assert message["type"] == "websocket.accept"

        await app(scope, receive, send)

    with pytest.raises(ItemNotFoundError):
        asyncio.run(connect())


def test_one_error_may_have_another_answer() -> None:
    application = FastAPI()
    handle_errors(application)

    @application.exception_handler(ItemNotFoundError)
    async def nothing(request: Any, error: Exception) -> Any:
        from fastapi.responses import PlainTextResponse

        return PlainTextResponse("nothing here", 410)

    @application.get("/{name}")
    async def read(name: str) -> None:
        raise ItemNotFoundError("t", "k") if name == "a" else VersionConflictError("m")

    assert call(application, "GET", "/a").text == "nothing here"
    assert call(application, "GET", "/b").status_code == 409


# --- OpenAPI ----------------------------------------------------------------------------------------------------------


def test_openapi_shows_models_and_problems() -> None:
    document = call(app, "GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Order", "Page_Order_", "Problem", "FieldProblem"} <= set(schemas)
    assert "HTTPValidationError" not in json.dumps(document)
    assert schemas["Page_Order_"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Order"}
    read = document["paths"]["/orders/{order_id}"]["get"]["responses"]
    assert set(read) == {"200", "404", "422", "500", "503", "504"}
    for status in set(read) - {"200"}:
        assert read[status]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }, status
    assert read["404"]["description"] == "Not found"
    assert read["200"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
    assert "/blocking/{order_id}" in document["paths"]
    # Every problem that is sent is one as it is described.
    answer = call(app, "GET", "/nowhere").json()
    assert set(schemas["Problem"]["required"]) <= set(answer) <= set(schemas["Problem"]["properties"])


OwnProblem = create_model("Problem", mine=(int, ...))


def refs(document: object) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"].rpartition("/")[2]} if "$ref" in document else set()
        return own.union(*map(refs, document.values()))
    return set().union(*map(refs, document)) if isinstance(document, list) else set()


def test_openapi_of_an_application_with_a_problem_callbacks_and_webhooks_of_its_own() -> None:
    application = FastAPI()
    handle_errors(application, http_errors=True)
    callbacks = APIRouter()

    @callbacks.post("{$callback_url}/paid")
    def paid(order: Order) -> None: ...

    @application.post("/orders", callbacks=callbacks.routes)
    def create(callback_url: str) -> OwnProblem: ...  # type: ignore[valid-type]

    @application.webhooks.post("shipped")
    def shipped(order: Order) -> None: ...

    for path, described in (("/early", {}), ("/late", problem_responses(404))):
        application.add_api_route(path, shipped, methods=["POST"], responses=described)
        document = application.openapi()
        schemas = document["components"]["schemas"]
        assert refs(document) <= set(schemas)
        (name,) = refs(document["paths"]["/orders"]["post"]["responses"]["200"])
        assert set(schemas[name]["properties"]) == {"mine"}
        for status in {*described, 422}:
            (name,) = refs(document["paths"][path]["post"]["responses"][str(status)]["content"][handlers.MEDIA_TYPE])
            assert "request_id" in schemas[name]["properties"]


def test_openapi_that_is_made_anew_each_time() -> None:
    application = FastAPI()
    made = application.openapi

    def openapi() -> dict[str, Any]:
        return json.loads(json.dumps(made()))

    application.openapi = openapi  # type: ignore[method-assign]
    handle_errors(application, http_errors=True)
    application.add_api_route("/{number}", lambda number: 1, response_model=int)
    for _ in range(2):
        document = application.openapi()
        responses = document["paths"]["/{number}"]["get"]["responses"]
        assert list(responses["422"]["content"]) == ["application/problem+json"]
        assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_problem_responses_of_any_status() -> None:
    assert problem_responses(418)[418]["description"] == "I'm a Teapot"
    assert problem_responses() == {}


# --- dependencies and the lifespan ------------------------------------------------------------------------------------


def test_a_repository_is_made_once() -> None:
    async def twice() -> None:
        config = DynamoDBConfig.embedded("once")
        made = DynamoDB(config).repository(AsyncOrders)
        assert made.made(config) is made.made(config)
        assert made.made(config) is not made.made(DynamoDBConfig.embedded("another"))

    asyncio.run(twice())
    assert dynamodb.repository(AsyncOrders) is dynamodb.repository(AsyncOrders)


@pytest.mark.parametrize("wrong", [Order, Orders(DynamoDBConfig.embedded()), "orders", None])
def test_a_dependency_is_of_a_repository_class(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="takes a repository class"):
        dynamodb.repository(wrong)


def test_a_configuration_is_needed() -> None:
    wrong: Any = "us-east-1"
    with pytest.raises(ValidationError, match="takes a DynamoDBConfig"):
        DynamoDB(wrong)


def test_what_overrides_the_configuration_gives_one() -> None:
    application = FastAPI()
    application.dependency_overrides[dynamodb.config] = lambda: "local"

    async def start() -> None:
        async with dynamodb.lifespan(application):
            pass

    with pytest.raises(ValidationError, match="returned no DynamoDBConfig: 'local'"):
        asyncio.run(start())


def test_a_test_overrides_one_repository(shop: Orders) -> None:
    other = AsyncOrders(DynamoDBConfig.embedded("fastapi-other"))
    Orders(other.config).ensure_table()
    Orders(other.config).put(Order(order_id="o1", status="elsewhere"))
    app.dependency_overrides[dynamodb.repository(AsyncOrders)] = lambda: other
    assert call(app, "GET", "/orders/o1").json()["status"] == "elsewhere"
    assert call(app, "GET", "/blocking/o1").status_code == 404
    drop_embedded("fastapi-other")


def test_the_lifespan_warms_and_closes_and_begins_again(shop: Orders) -> None:
    """With that of the application around it, and the configuration of the test."""
    made = DynamoDB(DynamoDBConfig.from_env(endpoint_url="http://127.0.0.1:1", region_name="us-east-1"))
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncGenerator[None, None]:
        async with made.lifespan(application):
            events.append("started")
            yield
        events.append("ended")

    application = FastAPI(lifespan=lifespan)
    application.dependency_overrides[made.config] = lambda: shop.config
    made.repository(AsyncOrders)
    made.repository(Orders)

    async def twice() -> None:
        for _ in range(2):
            async with application.router.lifespan_context(application):
                assert connection_for(shop.config)._open is not None
            assert connection_for(shop.config)._open is None

    asyncio.run(twice())
    assert events == ["started", "ended"] * 2


def test_an_application_without_credentials_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    made = DynamoDB(DynamoDBConfig(region_name="us-east-1"))
    made.repository(AsyncOrders)
    application = FastAPI(lifespan=made.lifespan)

    async def start() -> None:
        async with application.router.lifespan_context(application):
            pass

    with pytest.raises(CredentialsError):
        asyncio.run(start())


def test_a_blocking_repository_on_the_event_loop_is_logged_once(shop: Orders, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert call(app, "GET", "/wrong/o1").json() is True
        call(app, "GET", "/blocking/o1")
    (record,) = [record for record in caplog.records if "blocking" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "wrongly_blocking" in record.getMessage()
    assert "Orders" in record.getMessage()


def test_without_fastapi_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None\n"
        "import dynamodb_wrapper\n"
        "try:\n"
        "    import dynamodb_wrapper.integrations.fastapi\n"
        "except dynamodb_wrapper.DynamoDBWrapperError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'dynamodb-wrapper[fastapi]'" in run.stdout


# --- a service that uvicorn runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy(moto_server: RunningServer) -> Iterator[Proxy]:
    assert moto_server.endpoint_url is not None
    made = Proxy(moto_server.endpoint_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(moto_server: RunningServer) -> Iterator[Server]:
    made = Server(moto_server)
    yield made
    made.clean_up()


@pytest.fixture(scope="module")
def running(server: Server, proxy: Proxy) -> Iterator[web.Service]:
    """The shop, with the database behind the proxy; it started while the database was away."""
    Orders(server.config()).ensure_table()
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DYNAMODB_ENDPOINT_URL": proxy.url,
        "DYNAMODB_TABLE_PREFIX": server.table_prefix,
        "DYNAMODB_MAX_RETRIES": "0",
    }
    arguments = ["-m", "uvicorn", "tests.integration.web_shop:app", "--port", "{port}", "--host", "127.0.0.1"]
    proxy.go_away()
    with web.service(arguments, environment) as service:
        assert service.client.get("/orders/o1").status_code == 503
        proxy.come_back()
        yield service
        assert service.stop() in (0, -15)
        assert "Application shutdown complete" in service.log
        for sign in ("Exception ignored", "never retrieved", "never awaited", "Warning:"):
            assert sign not in service.log


@pytest.fixture
def client(running: web.Service, proxy: Proxy) -> Iterator[httpx.Client]:
    yield running.client
    proxy.calm()


def test_a_service_starts_without_its_database_and_heals(
    running: web.Service, client: httpx.Client, proxy: Proxy
) -> None:
    assert "starts without a connection to DynamoDB" in running.log
    proxy.go_away()
    for path in ("/orders/o1", "/blocking/o1"):
        away = client.get(path)
        assert (away.status_code, away.json()["type"]) == (503, "urn:problem-type:unavailable")
        assert away.headers["retry-after"] == "1"
        assert proxy.url not in away.text
    proxy.come_back()
    assert client.get("/orders/o1").status_code == client.get("/blocking/o1").status_code == 404


@pytest.mark.parametrize(
    ("fault", "status", "name", "retry_after"),
    [
        (rules.throttle(), 503, "overloaded", "1"),
        (rules.unavailable(), 503, "unavailable", "1"),
        (rules.reset(applied=True), 504, "outcome-unknown", None),
        (rules.server_error(applied=False), 504, "outcome-unknown", None),
        (rules.refusal("ResourceNotFoundException", "secret"), 500, "internal-error", None),
        (rules.refusal("AccessDeniedException", "secret arn:aws:iam::1:role/x"), 500, "internal-error", None),
        (rules.refusal("ValidationException", "secret"), 500, "internal-error", None),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_faults_behind_the_service(
    client: httpx.Client, proxy: Proxy, fault: Fault, status: int, name: str, retry_after: str | None
) -> None:
    order_id = uuid4().hex
    client.post("/orders", json={"order_id": order_id}).raise_for_status()
    proxy.inject(fault, "UpdateItem")
    answer = client.post(f"/orders/{order_id}/count")
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:problem-type:{name}")
    assert answer.headers.get("retry-after") == retry_after
    assert "secret" not in answer.text
    assert client.post(f"/orders/{order_id}/count").status_code == 200


def test_an_unexpected_exception(running: web.Service, client: httpx.Client) -> None:
    answer = client.get("/unexpected", headers={"X-Request-ID": "unexpected-1"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:problem-type:internal-error")
    assert answer.json()["request_id"] == "unexpected-1"
    assert "secret" not in answer.text
    assert "request_id=unexpected-1 GET '/unexpected' status=500 RuntimeError" in running.log


def test_many_requests_at_once(client: httpx.Client) -> None:
    order_id = uuid4().hex
    client.post("/orders", json={"order_id": order_id}).raise_for_status()

    def ask(number: int) -> int:
        if number % 2:
            return client.get(f"/blocking/{order_id}").status_code
        return client.post(f"/orders/{order_id}/count").status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(40)))
    assert statuses == [200] * 40
    assert client.get(f"/orders/{order_id}").json()["count"] == 20
