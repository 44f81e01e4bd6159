"""The Lambda example: called with events like API Gateway's, over the testing kit and in fresh processes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aws_lambda_powertools")

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent, APIGatewayProxyEventV2

from dynamodb_wrapper import DynamoDBConfig, aws_services
from dynamodb_wrapper.testing import Faults, Requests, Tables
from examples.lambda_tree_chat import infrastructure, measure, package
from examples.lambda_tree_chat import service as service_module
from examples.lambda_tree_chat.handlers import ChatHandler
from examples.lambda_tree_chat.models import MAX_DEPTH, MAX_TEXT_BYTES
from examples.lambda_tree_chat.repositories import ChatRepository, MessageRepository
from examples.lambda_tree_chat.service import ChatService
from tests.servers import ROOT, RunningServer, Server


@dataclass
class Context:
    """What a handler takes from Lambda's context."""

    milliseconds: int = 10_000
    aws_request_id: str = "r-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def event_v2(method: str, path: str, user: str | None, body: object, headers: dict[str, str]) -> dict[str, Any]:
    """As an HTTP API sends it, with a JWT authorizer and a stage that has a name."""
    path, _, query = path.partition("?")
    claims = {"claims": {"sub": user, "iss": "https://example.com"}, "scopes": None}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": f"/live{path}",
        "rawQueryString": query,
        "headers": {"content-type": "application/json", **{name.lower(): value for name, value in headers.items()}},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1",
            "authorizer": {"jwt": claims} if user else {},
            "domainName": "a1.execute-api.eu-west-1.amazonaws.com",
            "http": {"method": method, "path": f"/live{path}", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id=",
            "stage": "live",
            "timeEpoch": 1_790_000_000_000,
        },
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = dict(part.split("=", 1) for part in query.split("&"))
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    read = APIGatewayProxyEventV2(event)
    assert (read.http_method, read.path) == (method, path)
    return event


def event_v1(method: str, path: str, user: str | None, body: object, headers: dict[str, str]) -> dict[str, Any]:
    """As a REST API sends it, with a Cognito authorizer."""
    path, _, query = path.partition("?")
    event: dict[str, Any] = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Content-Type": "application/json", **headers},
        "multiValueHeaders": {},
        "queryStringParameters": dict(part.split("=", 1) for part in query.split("&")) if query else None,
        "requestContext": {
            "authorizer": {"claims": {"sub": user}} if user else None,
            "httpMethod": method,
            "path": f"/live{path}",
            "requestId": "id",
            "stage": "live",
        },
        "body": None if body is None else body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
    read = APIGatewayProxyEvent(event)
    assert (read.http_method, read.path) == (method, path)
    return event


@dataclass
class Client:
    """Calls the handler as a user does."""

    handler: ChatHandler
    user: str | None = "ada"
    make: Any = event_v2
    context: Context = field(default_factory=Context)

    def __call__(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {} if token is None else {"Idempotency-Key": token}
        answer = self.handler(self.make(method, path, self.user, body, headers), self.context)  # type: ignore[arg-type]
        assert set(answer) == {"statusCode", "headers", "body"}
        return answer["statusCode"], json.loads(answer["body"])

    def chat(self, text: str = "hello") -> tuple[str, str]:
        """Make a chat, and return its path and that of its first message."""
        status, body = self("POST", "/chats", {"title": "a chat", "text": text})
        assert status == 201
        path = f"/chats/{body['chat']['chat_id']}"
        return path, f"{path}/messages/{body['message']['message_id']}"

    def reply(self, to: str, text: str) -> str:
        """Answer a message, and return the path of the answer."""
        status, body = self("POST", f"{to}/replies", {"text": text})
        assert (status, set(body)) == (201, {"message"}), body
        return to.rpartition("/")[0] + "/" + str(body["message"]["message_id"])


@pytest.fixture(params=[event_v2, event_v1])
def client(request: pytest.FixtureRequest, dynamodb_tables: Tables, dynamodb_config: DynamoDBConfig) -> Client:
    dynamodb_tables(ChatRepository)
    return Client(ChatHandler(ChatService(dynamodb_config)), make=request.param)


@pytest.fixture
def v2(dynamodb_tables: Tables, dynamodb_config: DynamoDBConfig) -> Client:
    dynamodb_tables(ChatRepository)
    return Client(ChatHandler(ChatService(dynamodb_config)))


def texts(tree: dict[str, Any]) -> list[Any]:
    return [tree["text"], *(texts(reply) for reply in tree["replies"])]


# --- what it does ---------------------------------------------------------------------------------------------------


def test_a_chat(client: Client) -> None:
    chat, root = client.chat()
    one, two = client.reply(root, "one"), client.reply(root, "two")
    deeper = client.reply(one, "deeper")
    client.reply(deeper, "deepest")
    assert texts(client("GET", chat)[1]) == ["hello", ["one", ["deeper", ["deepest"]]], ["two"]]
    assert texts(client("GET", f"{chat}?depth=2")[1]) == ["hello", ["one"], ["two"]]
    assert texts(client("GET", f"{one}?depth=2")[1]) == ["one", ["deeper"]]
    status, body = client("POST", f"{deeper}/fork", {"title": "another"})
    assert (status, body["chat"]["title"], body["chat"]["messages_made"]) == (201, "another", 3)
    fork = f"/chats/{body['chat']['chat_id']}"
    assert texts(client("GET", fork)[1]) == ["hello", ["one", ["deeper"]]]
    assert client("DELETE", one) == (200, {"deleted": 3, "finished": True})
    assert texts(client("GET", chat)[1]) == ["hello", ["two"]]
    assert texts(client("GET", fork)[1]) == ["hello", ["one", ["deeper"]]]
    assert client("GET", one)[0] == client("DELETE", f"{two[:-1]}")[0] == 404
    assert client("DELETE", one) == (200, {"deleted": 0, "finished": True})
    assert client("DELETE", root)[0] == 409
    assert client("DELETE", chat) == (200, {"deleted": 2, "finished": True})
    assert client("GET", chat)[0] == client("DELETE", chat)[0] == 404


def test_the_chats_of_a_user(client: Client) -> None:
    for number in range(3):
        client("POST", "/chats", {"title": f"chat {number}", "text": "hello"})
    client.user = "bob"
    client.chat()
    client.user = "ada"
    first = client("GET", "/chats?size=2")[1]
    assert [chat["title"] for chat in first["chats"]] == ["chat 2", "chat 1"]
    assert "user_id" not in first["chats"][0]
    second = client("GET", f"/chats?size=2&cursor={first['cursor']}")[1]
    assert [chat["title"] for chat in second["chats"]] == ["chat 0"]
    assert second["cursor"] is None


def test_what_it_costs(v2: Client, dynamodb_requests: Requests) -> None:
    with dynamodb_requests.assert_requests(exactly=1):
        chat, root = v2.chat()
    with dynamodb_requests.assert_requests(exactly=2):
        one = v2.reply(root, "one")
    with dynamodb_requests.assert_requests(exactly=4):  # the chat, the root, and a query for each that may have replies
        v2("GET", f"{chat}?depth=3")
    with dynamodb_requests.assert_requests(exactly=3):
        v2("POST", f"{one}/fork", {"title": "another"})


# --- again ----------------------------------------------------------------------------------------------------------


def test_requests_with_a_token_are_done_once(client: Client) -> None:
    new = {"title": "a chat", "text": "hello"}
    status, first = client("POST", "/chats", new, token="t1")
    assert status == 201
    chat, root = f"/chats/{first['chat']['chat_id']}", first["message"]["message_id"]
    assert client("POST", "/chats", new, token="t1") == (200, first)
    assert client("POST", "/chats", {**new, "text": "bye"}, token="t1")[0] == 409
    assert client("POST", "/chats", {**new, "title": "other"}, token="t1")[0] == 409
    replies = f"{chat}/messages/{root}/replies"
    made = [client("POST", replies, {"text": "one"}, token="t2") for _ in range(3)]
    assert [status for status, _ in made] == [201, 200, 200]
    assert len({body["message"]["message_id"] for _, body in made}) == 1
    assert client("POST", replies, {"text": "two"}, token="t2")[0] == 409
    forks = [client("POST", f"{chat}/messages/{root}/fork", {"title": "fork"}, token="t3") for _ in range(2)]
    assert [status for status, _ in forks] == [201, 200]
    assert forks[0][1]["chat"]["chat_id"] == forks[1][1]["chat"]["chat_id"]
    assert texts(client("GET", chat)[1]) == ["hello", ["one"]]
    client.user = "bob"  # whose token t1 is another
    assert client("POST", "/chats", new, token="t1")[0] == 201


def test_the_same_request_many_times_at_once(v2: Client) -> None:
    chat, root = v2.chat()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: v2("POST", f"{root}/replies", {"text": "one"}, token="t"), range(8)))
    assert sorted({status for status, _ in made} - {200, 409}) == [201]
    assert [status for status, _ in made].count(201) == 1
    assert texts(v2("GET", chat)[1]) == ["hello", ["one"]]
    assert v2("GET", "/chats")[1]["chats"][0]["messages_made"] == 2


def test_many_replies_at_once_are_all_counted(v2: Client) -> None:
    chat, root = v2.chat()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: v2.reply(root, str(number)), range(24)))
    assert len(v2("GET", chat)[1]["replies"]) == 24
    assert v2("GET", "/chats")[1]["chats"][0]["messages_made"] == 25


# --- whose it is ----------------------------------------------------------------------------------------------------


def test_a_chat_of_somebody_else_is_not_there(client: Client) -> None:
    chat, root = client.chat()
    one = client.reply(root, "one")
    before = client("GET", chat)
    client.user = "eve"
    for method, path, body in (
        ("GET", chat, None),
        ("GET", one, None),
        ("POST", f"{root}/replies", {"text": "mine"}),
        ("POST", f"{one}/fork", {"title": "mine"}),
        ("DELETE", one, None),
        ("DELETE", chat, None),
    ):
        assert client(method, path, body) == (404, {"error": "there is no such chat", "request_id": "r-1"})
    assert client("GET", "/chats")[1] == {"chats": [], "cursor": None}
    client.user = "ada"
    assert client("GET", chat) == before


def test_nobody(client: Client) -> None:
    client.user = None
    assert client("GET", "/chats")[0] == 401


def test_a_cursor_of_somebody_else(v2: Client) -> None:
    for _ in range(3):
        v2.chat()
    cursor = v2("GET", "/chats?size=1")[1]["cursor"]
    v2.user = "eve"
    assert v2("GET", f"/chats?size=1&cursor={cursor}")[0] == 400


# --- limits ---------------------------------------------------------------------------------------------------------


def test_depth_is_bounded(v2: Client) -> None:
    chat, node = v2.chat()
    for number in range(MAX_DEPTH - 1):
        node = v2.reply(node, str(number))
    status, body = v2("POST", f"{node}/replies", {"text": "too deep"})
    assert (status, body["error"]) == (422, f"a chat has at most {MAX_DEPTH} levels")
    status, body = v2("POST", f"{node}/fork", {"title": "all of it"})
    assert (status, body["chat"]["messages_made"]) == (201, MAX_DEPTH)
    assert v2("GET", f"{chat}?depth={MAX_DEPTH}")[0] == 200


def test_size_is_bounded(v2: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_MESSAGES", 3)
    _, root = v2.chat()
    v2.reply(root, "one")
    assert v2("POST", f"{root}/replies", {"text": "two"}, token="t")[0] == 201
    assert v2("POST", f"{root}/replies", {"text": "three"})[0] == 422
    assert v2("POST", f"{root}/replies", {"text": "two"}, token="t")[0] == 200


INVALID: dict[str, tuple[str, str, object, int, str]] = {
    "no JSON": ("POST", "/chats", "{", 422, "the request is not valid"),
    "no body": ("POST", "/chats", None, 422, "the request is not valid"),
    "another type": ("POST", "/chats", "[]", 422, "the request is not valid"),
    "an empty text": ("POST", "/chats", {"title": "t", "text": ""}, 422, "the request is not valid"),
    "a long text": ("POST", "/chats", {"title": "t", "text": "ä" * (MAX_TEXT_BYTES // 2 + 1)}, 422, "the request is"),
    "a huge body": ("POST", "/chats", "x" * 100_000, 400, "the body has at most"),
    "no number": ("GET", "/chats?size=x", None, 400, "size is a whole number from 1 to 100"),
    "a large number": ("GET", "/chats?size=99999999999999999999", None, 400, "size is a whole number"),
    "a large number behind zeros": ("GET", "/chats?size=00000000150000", None, 400, "size is a whole number"),
    "another digit": ("GET", "/chats?size=²", None, 400, "size is a whole number"),
    "a bad cursor": ("GET", "/chats?cursor=x", None, 400, "a parameter is not valid"),
    "no such path": ("GET", "/chat", None, 404, "there is nothing here"),
    "no id": ("GET", "/chats/1", None, 404, "there is nothing here"),
    "no such method": ("PUT", "/chats", None, 405, "PUT is not possible here, only GET, POST"),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), INVALID.values(), ids=INVALID)
def test_bad_requests(
    client: Client, dynamodb_requests: Requests, method: str, path: str, body: object, status: int, text: str
) -> None:
    with dynamodb_requests.assert_requests(exactly=0):
        answered, answer = client(method, path, body)
    assert answered == status
    assert answer["error"].startswith(text)


def test_what_is_wrong_is_named(v2: Client) -> None:
    _, answer = v2("POST", "/chats", {"text": "x"})
    assert answer["details"] == [{"field": "title", "problem": "Field required"}]
    for token in ("x" * 101, "", "line\nline", "\ud800"):
        status, answer = v2("POST", "/chats", {"title": "t", "text": "x"}, token=token)
        assert (status, answer["error"]) == (400, "Idempotency-Key has 1 to 100 printable characters")


def test_a_body_in_base64(v2: Client) -> None:
    event = event_v2("POST", "/chats", "ada", None, {})
    event |= {"isBase64Encoded": True, "body": base64.b64encode(b'{"title": "t", "text": "x"}').decode()}
    assert v2.handler(event, v2.context)["statusCode"] == 201  # type: ignore[arg-type]
    for no_text in ("$", "ü", base64.b64encode(b"\xff").decode()):
        event["body"] = no_text
        assert v2.handler(event, v2.context)["statusCode"] == 400  # type: ignore[arg-type]


# --- bad days -------------------------------------------------------------------------------------------------------


def test_throttled(v2: Client, dynamodb_faults: Faults) -> None:
    dynamodb_faults.throttle(None)
    answer = v2.handler(event_v2("GET", "/chats", "ada", None, {}), v2.context)  # type: ignore[arg-type]
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (429, "1")


def test_away(v2: Client, dynamodb_faults: Faults) -> None:
    dynamodb_faults.refuse_connection(None)
    status, body = v2("GET", "/chats")
    assert (status, body) == (503, {"error": "not available at the moment: ask again", "request_id": "r-1"})


def test_slow(v2: Client, dynamodb_faults: Faults) -> None:
    v2.context = Context(milliseconds=3_000)
    dynamodb_faults.slow(2.5)
    assert v2("GET", "/chats")[0] == 503


@pytest.mark.dynamodb_config(retries=0)
def test_a_lost_answer(v2: Client, dynamodb_faults: Faults) -> None:
    dynamodb_faults.lose_response_of("TransactWriteItems")
    new = {"title": "a chat", "text": "hello"}
    status, body = v2("POST", "/chats", new, token="t")
    assert (status, body["error"][:28]) == (503, "the request may have been do")
    status, body = v2("POST", "/chats", new, token="t")
    assert (status, body["chat"]["title"]) == (200, "a chat")
    assert len(v2("GET", "/chats")[1]["chats"]) == 1


def test_a_mistake_of_ours_tells_nothing(v2: Client, caplog: pytest.LogCaptureFixture) -> None:
    v2.handler._service = None  # type: ignore[assignment]
    assert v2("GET", "/chats") == (500, {"error": "something went wrong here", "request_id": "r-1"})
    assert "AttributeError" in caplog.text


# --- long deletions -------------------------------------------------------------------------------------------------


def grown(client: Client, *, width: int = 4) -> tuple[str, str]:
    chat, root = client.chat()
    branch = client.reply(root, "branch")
    for number in range(width):
        client.reply(client.reply(branch, f"{number}"), f"{number} again")
    return chat, branch


def test_a_deletion_that_time_does_not_suffice_for(v2: Client, dynamodb_faults: Faults) -> None:
    chat, branch = grown(v2)
    v2.context = Context(milliseconds=6_000)
    dynamodb_faults.slow(2, operation="DeleteItem", times=6)
    answers = []
    while not answers or not answers[-1][1]["finished"]:
        answers.append(v2("DELETE", branch))
        tree = v2("GET", chat)[1]
        assert tree["text"] == "hello"
        assert len(answers) < 10
    assert [status for status, _ in answers] == [202] * (len(answers) - 1) + [200]
    assert len(answers) > 1
    assert texts(tree) == ["hello"]


def test_a_chat_stays_until_all_of_it_is_gone(v2: Client, dynamodb_faults: Faults) -> None:
    chat, _ = grown(v2)
    v2.context = Context(milliseconds=2_000)
    dynamodb_faults.slow(3, operation="DeleteItem")
    assert v2("DELETE", chat)[0] == 202
    assert v2("GET", chat)[0] == 200
    assert v2("DELETE", chat)[0] == 200
    assert v2("GET", chat)[0] == 404


class Queue:
    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    def send_message(self, **message: str) -> None:
        self.sent.append(message)


@pytest.mark.parametrize("whole", [True, False])
def test_the_queue_goes_on(
    v2: Client, dynamodb_faults: Faults, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    monkeypatch.setenv("DELETIONS_QUEUE_URL", "https://queue")
    chat, branch = grown(v2)
    v2.context = Context(milliseconds=2_000)
    dynamodb_faults.slow(3, operation="DeleteItem")
    with aws_services.override("sqs", Queue()) as queue:
        assert v2("DELETE", chat if whole else branch)[0] == 202
    (message,) = queue.sent
    assert message["QueueUrl"] == "https://queue"
    event = {"Records": [{"messageId": "m1", "eventSource": "aws:sqs", "body": message["MessageBody"]}]}
    again = {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    dynamodb_faults.slow(3, operation="DeleteItem")
    assert v2.handler(event, v2.context) == again  # type: ignore[arg-type]
    for _ in range(2):
        assert v2.handler(event, v2.context) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert v2("GET", chat)[0] == (404 if whole else 200)
    assert v2("GET", branch)[0] == 404


# --- fresh processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def deployed(moto_server: RunningServer) -> Iterator[dict[str, str]]:
    """The environment of a function whose table is on a server."""
    server = Server(moto_server)
    config = server.config()
    ChatRepository(config).create_table()
    assert server.endpoint_url is not None
    yield {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "AWS_LAMBDA_FUNCTION_NAME": "tree-chat",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DYNAMODB_ENDPOINT_URL": server.endpoint_url,
        "DYNAMODB_TABLE_PREFIX": server.table_prefix,
    }
    server.clean_up()


START = """
import json, os, sys
from examples.lambda_tree_chat.app import handler, service

class Context:
    aws_request_id = "r"
    def get_remaining_time_in_millis(self):
        return 20_000

def call(event):
    answer = handler(event, Context())
    print(json.dumps({"status": answer["statusCode"], **json.loads(answer["body"])}), flush=True)
"""


def fresh(code: str, environment: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", START + code],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_fresh_container(deployed: dict[str, str]) -> None:
    new = event_v2("POST", "/chats", "ada", {"title": "t", "text": "hello"}, {"idempotency-key": "t1"})
    code = f"""
call({new!r})
call({new!r})
heavy = ("boto3", "botocore", "aws_lambda_powertools", "asyncio", "http.client")
print(sorted(name for name in heavy if name in sys.modules))
print(service.chats._connection is service.messages._connection)
"""
    done = fresh(code, deployed)
    assert done.returncode == 0, done.stderr
    first, second, heavy, is_shared = done.stdout.splitlines()
    assert json.loads(first)["status"] == 201
    assert json.loads(second) == {**json.loads(first), "status": 200}
    assert heavy == "[]"
    assert is_shared == "True"


def test_a_container_that_ends_in_the_middle_of_a_deletion(
    deployed: dict[str, str], moto_server: RunningServer
) -> None:
    config = moto_server.config(deployed["DYNAMODB_TABLE_PREFIX"])
    client = Client(ChatHandler(ChatService(config)))
    chat, branch = grown(client, width=6)
    event = event_v2("DELETE", branch, "ada", None, {})
    dying = """
from dynamodb_wrapper import observe
deleted = []
def count(seen):
    if seen.operation == "DeleteItem":
        deleted.append(seen)
        if len(deleted) == 5:
            os._exit(9)
observe(count)
"""
    assert fresh(f"{dying}\ncall({event!r})", deployed).returncode == 9
    half = client("GET", chat)[1]
    assert 3 < len(str(texts(half)).split(",")) < 14
    done = fresh(f"call({event!r})", deployed)
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["finished"]) == (200, True)
    assert 1 <= answer["deleted"] <= 8
    assert texts(client("GET", chat)[1]) == ["hello"]
    assert MessageRepository(config).count() == 1


def test_with_powertools(deployed: dict[str, str]) -> None:
    new = event_v2("POST", "/chats", "ada", {"title": "t", "text": "hello"}, {})
    code = f"""
from examples.lambda_tree_chat.with_powertools import handler
Context.function_name = Context.invoked_function_arn = "f"
Context.memory_limit_in_mb = 128
call({new!r})
read = {event_v2("GET", "/chats/PATH?depth=2", "ada", None, {})!r}
read["rawPath"] = "/live/chats/" + service.page("ada", 1, None).items[0].chat_id
call(read)
call({event_v2("GET", "/chats/x", "eve", None, {})!r})
"""
    done = fresh(code, deployed)
    assert done.returncode == 0, done.stderr
    made, read, missing = map(json.loads, done.stdout.splitlines())
    assert (made["status"], read["status"], read["text"]) == (201, 200, "hello")
    assert (missing["status"], missing["error"]) == (404, "there is no such chat")


def test_by_hand_answers_the_same(deployed: dict[str, str]) -> None:
    new = event_v2("POST", "/chats", "ada", {"title": "t", "text": "hello"}, {})
    code = f"""
from examples.lambda_tree_chat import by_hand
own = handler
handler = by_hand.handler
call({new!r})
read = {event_v2("GET", "/chats/PATH?depth=2", "ada", None, {})!r}
read["rawPath"] = "/live/chats/" + service.page("ada", 1, None).items[0].chat_id
call(read)
handler = own
call(read)
"""
    done = fresh(code, deployed)
    assert done.returncode == 0, done.stderr
    made, read, as_ours = map(json.loads, done.stdout.splitlines())
    assert made["status"] == 201
    assert (read["status"], read["text"], read["replies"]) == (200, "hello", [])
    assert {name: as_ours[name] for name in ("status", "message_id", "text", "replies")} == {
        name: read[name] for name in ("status", "message_id", "text", "replies")
    }


# --- deployment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_the_template_is_one_that_cloudformation_takes(architecture: str) -> None:
    cfnlint = pytest.importorskip("cfnlint.api")
    from cfnlint.config import ManualArgs

    template = infrastructure.template(architecture=architecture)
    found = cfnlint.lint(json.dumps(template), config=ManualArgs(regions=["eu-west-1"], include_checks=["W", "E"]))
    assert [f"{match.rule.id} {match.message}" for match in found] == []
    allowed = json.dumps(template["Resources"]["Function"]["Properties"]["Policies"])
    assert "dynamodb:Scan" not in allowed
    assert "index/gsi1" in allowed


def test_the_template_is_for_the_function_that_the_zip_is_for() -> None:
    command = [sys.executable, "-m", "examples.lambda_tree_chat.infrastructure", "--architecture", "arm64"]
    done = subprocess.run([*command, "--python", "3.13"], cwd=ROOT, capture_output=True, check=True, timeout=60)
    function = json.loads(done.stdout)["Resources"]["Function"]["Properties"]
    assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])


# --- the zip --------------------------------------------------------------------------------------------------------


def test_the_zip_has_all_that_is_needed(deployed: dict[str, str], tmp_path: Path) -> None:
    package.build(tmp_path / "one.zip")
    package.build(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (tmp_path / "one.zip").stat().st_size < 8_000_000
    shutil.unpack_archive(tmp_path / "one.zip", tmp_path / "task")
    for path in [*(tmp_path / "task").rglob("*")]:
        path.chmod(0o555)
    new = event_v2("POST", "/chats", "ada", {"title": "t", "text": "hello"}, {})
    done = subprocess.run(
        # Without what is installed here, and without the time zones of this machine.
        [sys.executable, "-S", "-W", "error", "-c", f"{START}\ncall({new!r})\nprint(sys.modules['pydantic'].__file__)"],
        env=deployed | {"PYTHONPATH": str(tmp_path / "task"), "PYTHONTZPATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, place = done.stdout.splitlines()
    assert json.loads(answer)["status"] == 201
    assert place.startswith(str(tmp_path))
    for path in (tmp_path / "task").rglob("*"):
        path.chmod(0o755)


def test_what_is_left_out_of_the_zip(tmp_path: Path) -> None:
    package.build(tmp_path / "bare.zip", with_bytecode=False)
    with zipfile.ZipFile(tmp_path / "bare.zip") as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(("boto", "dynamodb_wrapper/spark"))]
    assert "examples/lambda_tree_chat/app.py" in names
    assert "MB unpacked" in package.contents(tmp_path / "bare.zip")[0]


def test_the_measuring_runs() -> None:
    command = [sys.executable, "-m", "examples.lambda_tree_chat.measure", "--rounds", "1", "--calls", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[4:]] == list(measure.MODULES)
