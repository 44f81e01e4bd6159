"""Connections against real sockets: a small server that answers (or breaks) exactly as a test asks."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import (
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DynamoDBWrapperError,
    ServerError,
    ThrottlingError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Response, call
from dynamodb_wrapper.transport import Connection, connection_for, reset_connection

Script = bytes | Callable[[socket.socket], None]

ITEM = {"Item": {"p": {"S": "x"}, "blob": {"B": "AP8="}}}


def http(body: bytes, status: int = 200, *, crc: bool = True, length: int | None = None, **headers: str) -> bytes:
    """A complete HTTP answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body) if length is None else length}"]
    lines += [f"x-amz-crc32: {zlib.crc32(body)}"] if crc else []
    lines += ["x-amzn-requestid: REQ1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def ok(answer: dict[str, Any] | None = None) -> bytes:
    return http(json.dumps(ITEM if answer is None else answer).encode())


def refusal(code: str, message: str = "AWS says no", status: int = 400, **fields: Any) -> bytes:
    return http(json.dumps({"__type": f"com.amazonaws#{code}", "message": message, **fields}).encode(), status)


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


class CannedServer:
    """Answers one request after the other from a script; the last entry answers all further ones."""

    def __init__(self) -> None:
        self.script: list[Script] = [ok()]
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up_all()
        for thread in self._threads:
            thread.join(5)

    def hang_up_all(self) -> None:
        """Close the connections, as a server does with idle ones."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while stream.readline():
                    headers = {}
                    while (line := stream.readline().strip()) != b"":
                        name, _, value = line.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    body = stream.read(int(headers.get("content-length", 0)))
                    with self._lock:
                        self.requests.append((headers, body))
                        action = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                    if callable(action):
                        action(connection)
                    else:
                        connection.sendall(action)
        except (OSError, ValueError):
            pass  # the client, or the test, closed the connection
        finally:
            connection.close()


@pytest.fixture
def server() -> Iterator[CannedServer]:
    canned = CannedServer()
    yield canned
    reset_connection()
    canned.close()


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    yield
    reset_connection()


def config(url: str | None = "http://127.0.0.1:9", **options: Any) -> DynamoDBConfig:
    settings: dict[str, Any] = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "AKID",
        "aws_secret_access_key": "TOPSECRET",
        "transport": os.environ.get("CONTRACT_TRANSPORT", "auto"),
    }
    return DynamoDBConfig(**{**settings, **options})


def get(connection: Connection, operation: str = "GetItem") -> Response:
    params = {"TableName": "t", "Key": {"p": {"S": "x"}}}
    return connection.driver.run(call(operation, params, key={"p": "x"}))


def increment(connection: Connection) -> Response:
    params = {"TableName": "t", "Key": {"p": {"S": "x"}}, "UpdateExpression": "ADD n :one"}
    params["ExpressionAttributeValues"] = {":one": {"N": "1"}}
    return connection.driver.run(call("UpdateItem", params, repeatable=False, key={"p": "x"}))


# --- one connection --------------------------------------------------------------------------------------------------


def test_equal_configurations_share_a_connection_and_different_ones_do_not() -> None:
    first = connection_for(config())
    assert all(connection_for(config()) is first for _ in range(100))
    assert connection_for(config(timeout_seconds=1)) is not first


def test_threads_that_come_first_together_make_one_client() -> None:
    barrier = threading.Barrier(32)

    def first_use(_: int) -> tuple[Connection, Any, Any]:
        barrier.wait(10)
        connection = connection_for(config())
        return connection, connection.client, connection.table("t")

    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(first_use, range(32)))
    assert len({id(connection) for connection, _, _ in made}) == 1
    assert len({id(client) for _, client, _ in made}) == 1
    assert len({id(table) for _, _, table in made}) == 1


def test_threads_share_the_pool(server: CannedServer) -> None:
    connection = connection_for(config(server.url, max_pool_connections=4))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: get(connection)["Item"]["p"], range(60)))
    assert answers == [{"S": "x"}] * 60
    assert len(server.requests) == 60
    assert server.connections <= 4


def test_answers_have_botocores_shape_and_the_request_id(server: CannedServer) -> None:
    answer = get(connection_for(config(server.url)))
    assert answer["Item"] == {"p": {"S": "x"}, "blob": {"B": b"\x00\xff"}}
    assert answer["ResponseMetadata"]["RequestId"] == "REQ1"
    headers, body = server.requests[0]
    assert headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert headers["accept-encoding"] == "identity"
    assert json.loads(body) == {"TableName": "t", "Key": {"p": {"S": "x"}}}


def test_static_credentials_are_used_together(server: CannedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-key")
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    get(connection_for(config(server.url)))
    get(connection_for(config(server.url, aws_session_token="ours")))
    without, with_token = (headers for headers, _ in server.requests)
    assert "Credential=AKID/" in without["authorization"]
    assert "x-amz-security-token" not in without
    assert with_token["x-amz-security-token"] == "ours"


def test_with_a_profile_the_key_signs_and_the_profile_gives_the_region(
    server: CannedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = tmp_path / "config"
    files.write_text("[profile job]\nregion = eu-north-1\naws_access_key_id = THEIRS\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(files))
    get(connection_for(config(server.url, region_name=None, profile_name="job")))
    get(connection_for(DynamoDBConfig(endpoint_url=server.url, profile_name="job")))
    with_key, without = (headers["authorization"] for headers, _ in server.requests)
    assert "Credential=AKID/" in with_key
    assert "Credential=THEIRS/" in without
    assert "/eu-north-1/" in with_key
    assert "/eu-north-1/" in without


def test_the_callers_parameters_are_not_changed(server: CannedServer) -> None:
    server.script = [ok({})]
    params = {"TransactItems": [{"Put": {"TableName": "t", "Item": {"p": {"S": "x"}, "b": {"B": b"\x00"}}}}]}
    connection_for(config(server.url)).driver.run(call("TransactWriteItems", params))
    assert params == {"TransactItems": [{"Put": {"TableName": "t", "Item": {"p": {"S": "x"}, "b": {"B": b"\x00"}}}}]}


def test_nothing_secret_in_repr() -> None:
    assert repr(connection_for(config())) == "Connection(http://127.0.0.1:9)"


# --- closing, resetting, forking -------------------------------------------------------------------------------------


def test_a_closed_connection_says_so_and_how_to_get_another(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    get(connection)
    connection.close()
    connection.close()
    for use in (lambda: get(connection), lambda: connection.client, lambda: connection.table("t")):
        with pytest.raises(ConnectionError, match=r"closed; connection_for\(config\)"):
            use()
    assert connection.health_check() is False
    assert len(server.requests) == 1
    assert get(connection_for(config(server.url)))["Item"]["p"] == {"S": "x"}


def test_a_reset_connection_opens_anew(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    get(connection)
    client, table = connection.client, connection.table("t")
    reset_connection()
    assert get(connection)["Item"]["p"] == {"S": "x"}
    assert connection.client is not client
    assert connection.table("t") is not table
    assert connection_for(config(server.url)) is connection
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_connects_by_itself(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    get(connection)
    parents = connection.client
    reader, writer = os.pipe()
    lock = connection._lock
    with lock:  # as if another thread were just making a client
        child = os.fork()
    if child == 0:
        try:
            fine = get(connection)["Item"]["p"] == {"S": "x"} and connection.client is not parents
            fine = fine and connection_for(config(server.url)) is connection
            os.write(writer, b"fine" if fine else b"wrong")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"fine"
    os.waitpid(child, 0)
    assert get(connection)["Item"]["p"] == {"S": "x"}
    assert connection.client is parents
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_lock_held_by_another_thread_is_free_in_the_child(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with connection._lock:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(get(connection)["Item"]["p"]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert json.loads(answer.read()) == {"S": "x"}
    os.waitpid(child, 0)
    release.set()
    holder.join()


# --- damaged answers -------------------------------------------------------------------------------------------------

BODY = json.dumps(ITEM).encode()
DAMAGED = {
    "wrong checksum": http(BODY, crc=False, x_amz_crc32="1"),
    "checksum not a number": http(BODY, crc=False, x_amz_crc32="one"),
    "changed byte": http(BODY.replace(b"x", b"y"), crc=False, x_amz_crc32=str(zlib.crc32(BODY))),
    "cut with checksum": http(BODY[:-9], crc=False, x_amz_crc32=str(zlib.crc32(BODY))),
    "cut without checksum": http(BODY[:-9], crc=False),
    "not JSON": http(b"<html>hello</html>", crc=False),
    "not an object": http(b"[]", crc=False),
    "not UTF-8": http(b"\xff\xfe{}", crc=False),
    "empty": http(b"", crc=False),
    "broken gzip": http(gzip.compress(BODY)[:-9], crc=False, content_encoding="gzip"),
    "unknown encoding": http(BODY, content_encoding="br"),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_answer_is_an_error_in_the_end(server: CannedServer, damaged: bytes) -> None:
    server.script = [damaged]
    with pytest.raises(CorruptResponseError) as caught:
        get(connection_for(config(server.url, retries=2)))
    assert len(server.requests) == 3
    assert caught.value.context["attempts"] == 3
    assert caught.value.context["table_name"] == "t"


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_answer_is_asked_for_again(server: CannedServer, damaged: bytes) -> None:
    server.script = [damaged, ok()]
    answer = get(connection_for(config(server.url)))
    assert answer["Item"]["p"] == {"S": "x"}
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_answer_to_an_increment_is_an_unknown_outcome(server: CannedServer, damaged: bytes) -> None:
    server.script = [damaged, ok({})]
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        increment(connection_for(config(server.url)))
    assert len(server.requests) == 1
    assert caught.value.key == {"p": "x"}
    assert isinstance(caught.value.__cause__, CorruptResponseError)


def test_fewer_bytes_than_announced(server: CannedServer) -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(http(BODY[:-9], crc=False, length=len(BODY)))
        connection.shutdown(socket.SHUT_RDWR)

    server.script = [cut, ok()]
    assert get(connection_for(config(server.url)))["Item"]["p"] == {"S": "x"}
    server.script = [cut]
    with pytest.raises(ConnectionError):  # CorruptResponseError, or a connection closed too early
        get(connection_for(config(server.url, retries=1)))


def test_a_chunked_answer_that_ends_early(server: CannedServer) -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{")
        connection.shutdown(socket.SHUT_RDWR)

    server.script = [cut, ok()]
    assert get(connection_for(config(server.url)))["Item"]["p"] == {"S": "x"}


@pytest.mark.parametrize("crc_of", ["wire", "plain", "none"])
def test_a_gzipped_answer_is_read(server: CannedServer, crc_of: str) -> None:
    packed = gzip.compress(BODY)
    crc = {
        "wire": {"x_amz_crc32": str(zlib.crc32(packed))},
        "plain": {"x_amz_crc32": str(zlib.crc32(BODY))},
        "none": {},
    }
    server.script = [http(packed, crc=False, content_encoding="gzip", **crc[crc_of])]
    assert get(connection_for(config(server.url)))["Item"]["p"] == {"S": "x"}


def test_an_answer_without_a_body_where_there_is_none(server: CannedServer) -> None:
    server.script = [http(b"", crc=False)]
    params = {"ResourceArn": "arn:aws:dynamodb:us-east-1:1:table/t", "Tags": [{"Key": "a", "Value": "b"}]}
    answer = connection_for(config(server.url)).driver.run(call("TagResource", params))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_damaged_refusal_is_repeated_even_for_an_increment(server: CannedServer) -> None:
    server.script = [http(b'{"__type": "Thro', 400, crc=False, x_amz_crc32="1"), ok({})]
    assert increment(connection_for(config(server.url)))["ResponseMetadata"]["RetryAttempts"] == 1


# --- lost and failed answers -----------------------------------------------------------------------------------------


def test_a_lost_answer_is_asked_for_again_but_an_increment_is_not_repeated(server: CannedServer) -> None:
    server.script = [hang_up, ok()]
    assert get(connection_for(config(server.url)))["Item"]["p"] == {"S": "x"}
    server.script = [hang_up, ok()]
    with pytest.raises(WriteOutcomeUnknownError):
        increment(connection_for(config(server.url)))
    assert len(server.requests) == 3


def test_an_idle_connection_closed_by_the_server_is_replaced(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    get(connection)
    server.hang_up_all()
    time.sleep(0.05)
    assert increment(connection)["ResponseMetadata"]["RetryAttempts"] == 0
    assert server.connections == 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("page", [b"", b"<html><body>Bad gateway</body></html>", b"\xff", b"[]", b'"oh"'])
def test_a_proxys_error_page_is_a_server_error(server: CannedServer, page: bytes) -> None:
    server.script = [http(page, 502, crc=False)]
    with pytest.raises(ServerError) as caught:
        get(connection_for(config(server.url, retries=0)))
    assert caught.value.code == "502"


def test_500_is_unknown_for_an_increment_and_503_is_not(server: CannedServer) -> None:
    server.script = [refusal("ServiceUnavailable", status=503), ok({})]
    increment(connection_for(config(server.url)))
    server.script = [refusal("InternalServerError", status=500), ok({})]
    with pytest.raises(WriteOutcomeUnknownError):
        increment(connection_for(config(server.url)))
    assert len(server.requests) == 3


def test_the_last_500_reaches_the_caller(server: CannedServer) -> None:
    server.script = [refusal("InternalServerError", status=500)]
    with pytest.raises(ServerError) as caught:
        get(connection_for(config(server.url)))
    assert len(server.requests) == caught.value.context["attempts"] == 4
    assert caught.value.context["lost_answers"] == 4
    assert caught.value.request_id == "REQ1"


def test_throttling_reasons_come_through(server: CannedServer) -> None:
    reasons = [{"reason": "TableReadProvisionedThroughputExceeded", "resource": "arn:aws:dynamodb:::table/t"}]
    for code, field in [
        ("ProvisionedThroughputExceededException", "ThrottlingReasons"),
        ("ThrottlingException", "throttlingReasons"),
    ]:
        server.script = [refusal(code, **{field: reasons})]
        with pytest.raises(ThrottlingError) as caught:
            get(connection_for(config(server.url, retries=0)))
        assert [(reason.reason, reason.resource) for reason in caught.value.reasons] == [tuple(reasons[0].values())]


def test_expired_credentials_are_not_tried_again(server: CannedServer) -> None:
    server.script = [refusal("ExpiredTokenException", "The security token included in the request is expired")]
    with pytest.raises(CredentialsError, match="renew") as caught:
        get(connection_for(config(server.url)))
    assert len(server.requests) == 1
    assert "TOPSECRET" not in repr(caught.value)


def test_no_answer_within_the_timeout(server: CannedServer) -> None:
    server.script = [lambda _: time.sleep(1)]
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"did not answer at http://127.* within 0.2 s"):
        get(connection_for(config(server.url, timeout_seconds=0.2, retries=0)))
    assert time.monotonic() - started < 1


def test_a_closed_port_is_reported_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConnectionError, match="could not be reached at " + url) as caught:
        increment(connection_for(config(url)))
    assert caught.value.context["attempts"] == 4  # never sent, so even an increment was tried again


def test_an_unreachable_endpoint_is_given_up_within_the_connect_timeout() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # the queue is full: a further connection is neither accepted nor refused
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=r"within 0.2 s"):
            get(connection_for(config(url, connect_timeout_seconds=0.2, retries=0)))
        assert time.monotonic() - started < 2


# --- what cannot even be tried ---------------------------------------------------------------------------------------


def test_no_credentials() -> None:
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID") as caught:
        get(connection_for(DynamoDBConfig(endpoint_url="http://127.0.0.1:9", region_name="us-east-1")))
    assert caught.value.context["attempts"] == 1


def test_no_region() -> None:
    with pytest.raises(ValidationError, match="AWS_REGION"):
        get(connection_for(DynamoDBConfig(aws_access_key_id="a", aws_secret_access_key="b")))


def test_no_such_profile() -> None:
    with pytest.raises(CredentialsError, match="nope"):
        get(connection_for(DynamoDBConfig(profile_name="nope", region_name="us-east-1")))


def test_a_bug_stays_a_bug(server: CannedServer) -> None:
    with pytest.raises(TypeError):
        connection_for(config(server.url)).driver.run(
            call("GetItem", {"TableName": "t", "Key": {"p": {"S": object()}}})
        )
    with pytest.raises(AttributeError):
        connection_for(config(server.url)).driver.run(call("NoSuchOperation", {}))
    assert server.requests == []


# --- health ----------------------------------------------------------------------------------------------------------


def test_health(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    server.script = [ok({"TableNames": []})]
    assert connection.health_check() is True
    server.script = [refusal("AccessDeniedException")]
    assert connection.health_check() is True
    server.script = [refusal("UnrecognizedClientException")]
    assert connection.health_check() is False
    server.script = [refusal("InternalServerError", status=500)]
    assert connection.health_check() is False
    assert len(server.requests) == 4


def test_health_of_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = connection_for(config(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1))
        assert isinstance(connection.client, object)
        started = time.monotonic()
        assert connection.health_check(timeout_seconds=0.2) is False
        assert time.monotonic() - started < 0.9
    for thread in threading.enumerate():
        if thread.name == "dynamodb-health":
            thread.join(5)


def test_health_never_raises() -> None:
    assert connection_for(DynamoDBConfig(profile_name="nope", region_name="us-east-1")).health_check() is False
    assert connection_for(config("http://127.0.0.1:9")).health_check() is False


# --- boto3's own objects ---------------------------------------------------------------------------------------------


def test_the_boto3_table_works_and_retries_by_itself(server: CannedServer) -> None:
    server.script = [refusal("InternalServerError", status=500), ok()]
    table = connection_for(config(server.url)).table("t")
    assert table.get_item(Key={"p": "x"})["Item"]["p"] == "x"
    assert len(server.requests) == 2


def test_importing_transport_imports_no_botocore() -> None:
    import subprocess
    import sys

    program = (
        "import sys, dynamodb_wrapper.transport\n"
        "print([name for name in ('boto3', 'botocore', 'moto') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_errors_are_ours(server: CannedServer) -> None:
    server.script = [refusal("SomethingEntirelyNew")]
    with pytest.raises(DynamoDBWrapperError) as caught:
        get(connection_for(config(server.url)))
    assert caught.value.code == "SomethingEntirelyNew"
