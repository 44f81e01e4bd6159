"""Connections against real sockets: a small server that answers (or breaks) exactly as a test asks."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ReadTimeoutError
from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import (
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DeadlineExceededError,
    DynamoDBWrapperError,
    ServerError,
    ThrottlingError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Response, call
from dynamodb_wrapper.transport import (
    Connection,
    DynamoDBSingleton,
    HealthReport,
    RequestEvent,
    Server,
    configure,
    connection_for,
    health_report,
    observe,
    register_tables,
    reset_connection,
)
from tests.timing import PATIENCE, in_time

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


TRANSPORT: Any = "auto"


@pytest.fixture
def server() -> Iterator[CannedServer]:
    canned = CannedServer()
    yield canned
    reset_connection()
    canned.close()


@pytest.fixture(autouse=True, params=["direct", "botocore"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is run on both lanes."""
    monkeypatch.setitem(globals(), "TRANSPORT", request.param)


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
        "transport": TRANSPORT,
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


def test_a_service_of_credentials_that_does_not_answer(server: CannedServer) -> None:
    def refresh() -> dict[str, str]:
        raise ReadTimeoutError(endpoint_url="https://sts.us-east-1.amazonaws.com/")

    connection = connection_for(config(server.url, retries=1))
    signer: Any = connection.client._request_signer  # type: ignore[attr-defined]
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    signer._credentials = RefreshableCredentials("AKID", "SECRET", "TOKEN", long_ago, refresh, "assume-role")
    with pytest.raises(CredentialsError, match=r"could not be renewed: .*sts") as caught:
        increment(connection)  # whose outcome is known: it was not sent
    assert caught.value.context["attempts"] == 2
    assert server.requests == []


def test_no_answer_within_the_timeout(server: CannedServer) -> None:
    server.script = [silent]
    with in_time(), pytest.raises(ConnectionError, match=r"did not answer at http://127.* within 0.2 s"):
        get(connection_for(config(server.url, timeout_seconds=0.2, retries=0)))


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
        with in_time(), pytest.raises(ConnectionError, match=r"within 0.2 s"):
            get(connection_for(config(url, connect_timeout_seconds=0.2, retries=0)))


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
        connection = connection_for(config(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=2 * PATIENCE))
        assert isinstance(connection.client, object)
        with in_time():
            assert connection.health_check(timeout_seconds=0.2) is False
    for thread in threading.enumerate():
        if thread.name == "dynamodb-attempt":
            thread.join(5)


def test_health_never_raises() -> None:
    assert connection_for(DynamoDBConfig(profile_name="nope", region_name="us-east-1")).health_check() is False
    assert connection_for(config("http://127.0.0.1:9")).health_check() is False


def test_a_report_of_health(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    server.script = [ok({"TableNames": []})]
    report = connection.health_report()
    seen = report.latency_ms, report.checked_at
    why_botocore = None if TRANSPORT == "direct" else 'transport is "botocore" in the configuration'
    assert report == HealthReport(True, True, seen[0], None, None, "ok", None, seen[1], TRANSPORT, why_botocore)
    assert report.latency_ms is not None
    assert report.latency_ms > 0
    assert report.checked_at.tzinfo is not None
    assert json.loads(json.dumps(report.as_dict()))["healthy"] is True


@pytest.mark.parametrize(
    ("answer", "healthy", "reachable", "credentials", "says"),
    [
        (refusal("AccessDeniedException"), True, True, "ok", "AWS says no"),
        (refusal("UnrecognizedClientException"), False, True, "refused", "AWS does not know the access key"),
        (refusal("InvalidSignatureException"), False, True, "refused", "the signature is not accepted"),
        (refusal("ExpiredTokenException"), False, True, "expired", "the session token has expired"),
        (refusal("InternalServerError", status=500), False, True, "unknown", "AWS says no"),
        (refusal("ThrottlingException"), False, True, "unknown", "AWS says no"),
        (ok({"nonsense": True}), False, False, "unknown", "'TableNames' is missing or wrong"),
        (hang_up, False, False, "unknown", "was closed before"),
    ],
)
def test_what_a_report_says_is_wrong(
    server: CannedServer, answer: Script, healthy: bool, reachable: bool, credentials: str, says: str
) -> None:
    server.script = [answer]
    report = connection_for(config(server.url)).health_report()
    assert (report.healthy, report.reachable, report.credentials) == (healthy, reachable, credentials)
    assert says in str(report.error)
    assert (report.latency_ms is not None) is reachable
    assert "TOPSECRET" not in repr(report)


@pytest.mark.parametrize(
    ("status", "healthy"),
    [("ACTIVE", True), ("UPDATING", True), ("CREATING", False), ("DELETING", False), ("ARCHIVED", False)],
)
def test_a_table_that_is_not_ready_is_reachable_and_not_healthy(
    server: CannedServer, status: str, healthy: bool
) -> None:
    server.script = [ok({"Table": {"TableStatus": status}})]
    report = connection_for(config(server.url)).health_report(table_name="t")
    assert (report.healthy, report.reachable, report.table_status, report.table_name) == (healthy, True, status, "t")
    assert report.error == (None if healthy else f"table 't' is {status}")


def test_a_table_that_is_missing(server: CannedServer) -> None:
    server.script = [refusal("ResourceNotFoundException")]
    report = connection_for(config(server.url)).health_report(table_name="t")
    assert (report.healthy, report.reachable, report.table_status, report.credentials) == (False, True, "missing", "ok")
    assert "'t' does not exist" in str(report.error)


def test_health_comes_back_without_a_restart() -> None:
    first = CannedServer()
    port = int(first.url.rpartition(":")[2])
    first.script = [ok({"TableNames": []})]
    connection = connection_for(config(first.url))
    assert connection.health_report().healthy
    first.close()
    away = connection.health_report()
    assert (away.healthy, away.reachable, away.latency_ms, away.credentials) == (False, False, None, "unknown")
    assert "127.0.0.1" in str(away.error)
    with contextlib.closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()

        def answer() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(ok({"TableNames": []}))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert connection.health_report().healthy
        thread.join(5)


def test_a_report_never_raises() -> None:
    nobody = connection_for(DynamoDBConfig(profile_name="nope", region_name="us-east-1")).health_report()
    assert (nobody.healthy, nobody.reachable, nobody.credentials) == (False, False, "missing")
    without = connection_for(DynamoDBConfig(region_name="us-east-1", endpoint_url="http://127.0.0.1:9")).health_report()
    assert without.credentials == "missing"
    closed = Connection(config())
    closed.close()
    assert "closed" in str(closed.health_report().error)
    for timeout in (0, -1, None, "soon"):
        assert "timeout_seconds is" in str(connection_for(config()).health_report(timeout_seconds=timeout).error)


def test_the_report_of_a_bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_MAX_RETRIES", "many")
    reset_connection()
    report = health_report()
    assert (report.healthy, report.reachable) == (False, False)
    assert "DYNAMODB_MAX_RETRIES" in str(report.error)
    assert DynamoDBSingleton().health_check() is False
    monkeypatch.delenv("DYNAMODB_MAX_RETRIES")


def test_bad_arguments_of_the_default_configuration_are_refused() -> None:
    with pytest.raises(ValidationError, match="takes a DynamoDBConfig or None, not dict"):
        configure({})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="takes a mapping of alias to name, not str"):
        register_tables("x")  # type: ignore[arg-type]


# --- time limits -----------------------------------------------------------------------------------------------------


def silent(connection: socket.socket) -> None:
    """Never answer; the client hangs up."""
    connection.settimeout(3 * PATIENCE)
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def settled() -> None:
    """Wait for the attempts that were left behind."""
    for thread in threading.enumerate():
        if thread.name == "dynamodb-attempt":
            thread.join(10)


def test_a_call_is_over_when_its_time_is(server: CannedServer) -> None:
    server.script = [silent]
    connection = connection_for(config(server.url, timeout_seconds=2 * PATIENCE, deadline_seconds=0.3))
    _ = connection.client
    with in_time(), pytest.raises(DeadlineExceededError, match="no answer came within"):
        get(connection)
    with in_time(), pytest.raises(WriteOutcomeUnknownError) as caught:
        increment(connection)
    assert caught.value.key == {"p": "x"}
    server.hang_up_all()
    settled()


def test_a_name_that_is_never_resolved_does_not_hold_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def resolve(*args: Any, **kwargs: Any) -> Any:
        release.wait(2 * PATIENCE)
        raise socket.gaierror("no such host")

    connection = connection_for(config("http://dynamodb.example:8000", retries=0))
    _ = connection.client
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with in_time(), pytest.raises(DeadlineExceededError):
        connection.driver.limited(timeout=0.2).run(call("GetItem", {"TableName": "t", "Key": {"p": {"S": "x"}}}))
    with in_time():
        assert connection.health_check(timeout_seconds=0.2) is False
    release.set()
    settled()


def test_a_write_that_waits_for_credentials_is_not_sent_after_its_time(server: CannedServer) -> None:
    connection = connection_for(config(server.url))
    release = threading.Event()

    def slow(**_: Any) -> None:
        release.wait(30)

    connection.client.meta.events.register("before-sign.dynamodb", slow)
    with pytest.raises(DeadlineExceededError, match="could not be sent") as caught:
        connection.driver.limited(timeout=0.2).run(call("PutItem", {"TableName": "t", "Item": {}}))
    assert not isinstance(caught.value, WriteOutcomeUnknownError)
    release.set()
    settled()
    assert server.requests == []


def test_an_outage_does_not_pile_up_threads(server: CannedServer) -> None:
    server.script = [silent]
    connection = connection_for(
        config(server.url, max_pool_connections=2, timeout_seconds=2 * PATIENCE, retries=0, transport="botocore")
    )
    _ = connection.client  # making it takes a while
    hasty = connection.driver.limited(timeout=1)
    errors: list[DynamoDBWrapperError] = []
    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(ConnectionError) as caught:
            hasty.run(call("PutItem", {"TableName": "t", "Item": {}}))
        errors.append(caught.value)
    ours = [thread for thread in threading.enumerate() if thread.name == "dynamodb-attempt"]
    assert len(ours) <= 2
    assert threading.active_count() <= before + 4, "two of ours, and two of this server's"
    assert [type(error) for error in errors[:2]] == [WriteOutcomeUnknownError] * 2
    assert {type(error) for error in errors[2:]} == {ConnectionError}, "not sent, so not unknown"
    server.hang_up_all()
    settled()
    server.script = [ok({})]
    patient = hasty.limited(timeout=20)
    assert patient.run(call("PutItem", {"TableName": "t", "Item": {}}))["ResponseMetadata"]["RequestId"] == "REQ1"


def test_a_call_within_its_time_is_an_ordinary_call(server: CannedServer) -> None:
    connection = connection_for(config(server.url, deadline_seconds=30))
    server.script = [hang_up, ok()]
    assert get(connection)["ResponseMetadata"]["RetryAttempts"] == 1
    server.script = [refusal("ConditionalCheckFailedException")]
    with pytest.raises(DynamoDBWrapperError) as caught:
        get(connection)
    assert caught.value.code == "ConditionalCheckFailedException"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_room_for_its_own_calls(server: CannedServer) -> None:
    server.script = [silent, silent, ok()]
    connection = connection_for(config(server.url, max_pool_connections=1, timeout_seconds=2, retries=0))
    _ = connection.client
    hasty = connection.driver.limited(timeout=0.2)
    with pytest.raises(DeadlineExceededError):
        hasty.run(call("GetItem", {"TableName": "t", "Key": {}}))
    server.script = [ok()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a process with threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            answer = hasty.limited(timeout=20).run(call("GetItem", {"TableName": "t", "Key": {}}))
            status = 0 if "Item" in answer else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    settled()


class Thing(BaseModel):
    p: str
    version: int = 0


class Things(BaseDynamoRepository[Thing]):
    table_name = "t"
    primary_key = "p"


class VersionedThings(Things):
    version_attribute = "version"


def test_a_repository_with_options_shares_everything_but_its_limits(server: CannedServer) -> None:
    server.script = [silent]
    things = VersionedThings(config(server.url, timeout_seconds=2))
    _ = things._connection.client  # making it takes a while
    hasty = things.with_options(timeout=1, max_attempts=1)
    assert type(hasty) is VersionedThings
    assert hasty._connection is things._connection
    assert hasty.table_name == things.table_name
    with pytest.raises(DeadlineExceededError) as read:
        hasty.get("x")
    assert read.value.context["key"] == {"p": "x"}
    with pytest.raises(WriteOutcomeUnknownError) as written:
        hasty.put(Thing(p="x"))
    assert written.value.key == {"p": "x"}
    settled()
    server.script = [hang_up, ok()]
    with pytest.raises(ConnectionError):
        things.with_options(max_attempts=1).get("x")
    server.script = [hang_up, ok()]
    assert things.get("x") == Thing(p="x")
    for wrong in ({"timeout": 0}, {"max_attempts": 0}):
        with pytest.raises(ValidationError):
            things.with_options(**wrong)  # type: ignore[arg-type]


def test_waiting_for_a_table_has_a_limit_of_its_own(server: CannedServer) -> None:
    table = {"TableName": "dev_t", "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}]}
    table["AttributeDefinitions"] = [{"AttributeName": "p", "AttributeType": "S"}]
    waiting, ready = ({"Table": {**table, "TableStatus": status}} for status in ("CREATING", "ACTIVE"))
    server.script = [ok({"TableDescription": {}}), ok(waiting), ok(waiting), ok(ready)]
    things = Things(config(server.url, deadline_seconds=0.6))
    _ = things._connection.client
    started = time.monotonic()
    things.create_table()
    assert time.monotonic() - started > 0.6


def test_a_page_says_what_its_requests_consumed_together(server: CannedServer) -> None:
    capacity = {"TableName": "dev_t", "CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.5}}
    more = {"Items": [], "Count": 0, "LastEvaluatedKey": {"p": {"S": "x"}}, "ConsumedCapacity": capacity}
    last = {"Items": [{"p": {"S": "y"}}], "Count": 1, "ConsumedCapacity": capacity}
    server.script = [ok(more), ok(last)]
    page = Things(config(server.url, report_capacity=True)).scan().page(5)
    assert page.consumed_capacity is not None
    assert page.consumed_capacity.total == page.consumed_capacity.read == 1.0
    assert page.consumed_capacity.tables[0].table == 1.0
    assert [json.loads(body)["ReturnConsumedCapacity"] for _, body in server.requests] == ["INDEXES"] * 2
    server.script = [ok({"Items": [], "Count": 0})]
    assert Things(config(server.url)).scan().page(5).consumed_capacity is None
    assert "ReturnConsumedCapacity" not in json.loads(server.requests[-1][1])


# --- answers of the wrong shape --------------------------------------------------------------------------------------

READ = {"TableName": "t", "Key": {"p": {"S": "x"}}}
ALL_NEW = {**READ, "UpdateExpression": "SET n = :n", "ReturnValues": "ALL_NEW"}


@pytest.mark.parametrize(
    ("operation", "params", "answer"),
    [
        ("UpdateItem", ALL_NEW, {}),
        ("UpdateItem", ALL_NEW, {"Attributes": [1]}),
        ("UpdateItem", ALL_NEW, {"Attributes": "x"}),
        ("GetItem", READ, {"Item": "x"}),
        ("GetItem", READ, {"Item": [{}]}),
        ("GetItem", READ, {"Item": {"p": "x"}}),
        ("Query", {"TableName": "t"}, {}),
        ("Query", {"TableName": "t"}, {"Items": []}),
        ("Query", {"TableName": "t"}, {"Count": 0}),
        ("Query", {"TableName": "t"}, {"Items": [{}], "Count": 2}),
        ("Query", {"TableName": "t"}, {"Items": ["x"], "Count": 1}),
        ("Query", {"TableName": "t"}, {"Items": [], "Count": "none"}),
        ("Query", {"TableName": "t"}, {"Items": [], "Count": 0, "LastEvaluatedKey": "x"}),
        ("Scan", {"TableName": "t", "Select": "COUNT"}, {}),
        ("BatchGetItem", {"RequestItems": {}}, {}),
        ("BatchGetItem", {"RequestItems": {}}, {"Responses": []}),
        ("BatchWriteItem", {"RequestItems": {}}, {}),
        ("TransactGetItems", {"TransactItems": [{}]}, {}),
        ("TransactGetItems", {"TransactItems": [{}]}, {"Responses": []}),
        ("DescribeTable", {"TableName": "t"}, {"Message": "welcome"}),
        ("ListTables", {}, {}),
    ],
)
def test_an_answer_without_what_was_asked_for_is_corrupt_and_asked_for_again(
    server: CannedServer, operation: str, params: dict[str, Any], answer: dict[str, Any]
) -> None:
    connection = connection_for(config(server.url))
    server.script = [ok(answer)]
    with pytest.raises(ConnectionError) as caught:
        connection.driver.limited(max_attempts=2).run(call(operation, params))
    assert len(server.requests) == 2
    lost = caught.value.__cause__ if isinstance(caught.value, WriteOutcomeUnknownError) else caught.value
    assert isinstance(lost, CorruptResponseError)
    assert "arrived damaged" in lost.message


@pytest.mark.parametrize(
    ("operation", "params", "answer"),
    [
        ("GetItem", READ, {}),
        ("PutItem", {"TableName": "t", "Item": {}}, {}),
        ("DeleteItem", READ, {}),
        ("UpdateItem", {**READ, "ReturnValues": "UPDATED_OLD"}, {}),
        ("Query", {"TableName": "t", "Select": "COUNT"}, {"Count": 3}),
        ("TransactWriteItems", {"TransactItems": []}, {}),
        ("TransactGetItems", {"TransactItems": [{}, {}]}, {"Responses": [{}, {"Item": {}}]}),
        ("BatchWriteItem", {"RequestItems": {}}, {"UnprocessedItems": {}}),
    ],
)
def test_an_answer_may_leave_out_what_is_not_there(
    server: CannedServer, operation: str, params: dict[str, Any], answer: dict[str, Any]
) -> None:
    server.script = [ok(answer)]
    response = connection_for(config(server.url)).driver.run(call(operation, params))
    assert {name: value for name, value in response.items() if name != "ResponseMetadata"} == answer


# --- observers -------------------------------------------------------------------------------------------------------


def test_an_observer_hears_where_a_request_went(server: CannedServer) -> None:
    heard: list[RequestEvent] = []
    capacity = {"TableName": "t", "CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.5}}
    server.script = [refusal("InternalServerError", status=500), ok({**ITEM, "ConsumedCapacity": capacity})]
    with observe(heard.append):
        get(connection_for(config(server.url)))
    (event,) = heard
    assert event.server == Server("127.0.0.1", int(server.url.rpartition(":")[2]), "us-east-1")
    assert (event.attempts, event.failures, event.request_id) == (2, ("InternalServerError",), "REQ1")
    assert event.consumed_capacity is not None
    assert event.consumed_capacity.read == 0.5
    assert all(json.loads(body)["ReturnConsumedCapacity"] == "INDEXES" for _, body in server.requests)


def test_the_address_at_aws_is_known_from_the_client_where_the_region_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ireland = Server("dynamodb.eu-west-1.amazonaws.com", 443, "eu-west-1")
    assert connection_for(config(None, region_name="eu-west-1"))._server() == ireland
    reset_connection()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # which botocore reads
    connection = connection_for(config(None, region_name="eu-west-1"))
    assert connection._server() == Server(None, None, "eu-west-1")
    _ = connection.client
    assert connection._server() == ireland


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
