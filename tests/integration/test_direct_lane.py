"""The direct lane: answers and errors as through botocore, and botocore wherever somebody relies on it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import ref

import botocore.client
import botocore.handlers
import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.stub import Stubber

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DeadlineExceededError,
    DynamoDBWrapperError,
)
from dynamodb_wrapper.operations.effects import Call, Response, call
from dynamodb_wrapper.transport import Connection, connection_for, reset_connection
from dynamodb_wrapper.transport.failures import Verdict, hint_of
from dynamodb_wrapper.transport.guard import OPERATIONS
from dynamodb_wrapper.transport.http import Answer
from dynamodb_wrapper.transport.sockets import Tls
from tests import servers

GET = Call("GetItem", {"TableName": "t", "Key": {"p": {"S": "x"}}}, key={"p": "x"})
ITEM = {"Item": {"p": {"S": "x"}}}


def http(body: object, status: int = 200, **headers: str) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} -", f"content-length: {len(text)}", f"x-amz-crc32: {zlib.crc32(text)}"]
    lines += ["x-amzn-requestid: REQ1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + text


class Recorder:
    """Answers with what a test puts into `answers`, the last one over and over, and keeps the requests."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: list[bytes] = [http(ITEM)]
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.handshakes: list[str] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(accepted)
            self._threads.append(threading.Thread(target=self._serve, args=(accepted,), daemon=True))
            self._threads[-1].start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            if self._context is not None:
                accepted = self._context.wrap_socket(accepted, server_side=True)
                self._open.append(accepted)
                self.handshakes.append(f"{accepted.version()} {accepted.selected_alpn_protocol()}")
            with accepted.makefile("rb") as stream:
                while line := stream.readline():
                    headers = {"": line.decode().strip()}
                    while (line := stream.readline().strip()) != b"":
                        name, _, value = line.decode().partition(": ")
                        headers[name] = value
                    self.requests.append((headers, stream.read(int(headers.get("Content-Length", 0)))))
                    accepted.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        except (OSError, ValueError):
            pass
        finally:
            accepted.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self._open:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
            accepted.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    reset_connection()
    recorder.close()


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    yield
    reset_connection()


def config(url: str | None, **options: Any) -> DynamoDBConfig:
    settings: dict[str, Any] = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "AKID",
        "aws_secret_access_key": "TOPSECRET",
        "transport": "direct",
    }
    return DynamoDBConfig(**{**settings, **options})


def connect(url: str | None, **options: Any) -> Connection:
    return connection_for(config(url, **options))


def send(connection: Connection, request: Call = GET) -> Response:
    return connection.driver.run(call(request.operation, request.params, key=request.key))


def why_not(connection: Connection, operation: str = "GetItem") -> str | None:
    assert connection._direct is not None
    return connection._routes.why_not_direct(operation)


def route_of(connection: Connection) -> Any:
    found = connection._routes.find(GET)
    assert found is not None
    assert found[0].is_for(GET)
    return found[0]


def pool_of(connection: Connection) -> Any:
    lane: Any = connection._direct
    return lane._pool(route_of(connection))


def is_direct(recorded: tuple[dict[str, str], bytes]) -> bool:
    return recorded[0]["User-Agent"].startswith("dynamodb-wrapper")


# --- the same as through botocore -------------------------------------------------------------------------------------


def outcome(connection: Connection, request: Call) -> Any:
    """What came of one attempt, without what differs from request to request, and botocore's note on its retries."""
    try:
        answer = connection._lane.send(request)
    except DynamoDBWrapperError as error:
        known = {name: value for name, value in vars(error).items() if name not in ("original_error", "request_id")}
        known["context"] = {name: value for name, value in error.context.items() if name != "request_id"}
        return type(error), error.args, known
    metadata = answer.pop("ResponseMetadata")
    assert metadata.pop("RequestId")
    metadata.pop("MaxAttemptsReached", None)
    headers = metadata.pop("HTTPHeaders")
    return answer, metadata, sorted(headers), headers["content-type"], headers["content-length"]


def requests(table: str) -> Iterator[Call]:
    """Every operation, with every type of value, and refusals that carry items."""
    key = {"p": {"S": "a"}, "s": {"B": b"\x00\xff"}}
    item = {
        **key,
        "B": {"B": b""},
        "BS": {"BS": [b"\x01", b"\x02"]},
        "M": {"M": {"B": {"M": {"B": {"B": b"deep"}}}, "BS": {"L": [{"B": b"1"}, {"S": "AP8="}]}}},
        "n": {"N": "-1.5E+10"},
        "NS": {"NS": ["1"]},
        "text": {"S": 'ü "B":"AP8=" \u2028'},
        "nothing": {"NULL": True},
        "flag": {"BOOL": False},
        "SS": {"SS": ["B"]},
    }
    there = "attribute_exists(p)"
    add = {
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
        "ReturnValues": "ALL_NEW",
    }
    put = {"Put": {"TableName": table, "Item": item}}
    refused_put = {
        "Put": {
            **put["Put"],
            "ConditionExpression": f"NOT {there}",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    by_p = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    many = [{"PutRequest": {"Item": {**key, "s": {"B": bytes([number])}}}} for number in range(5)]
    yield Call("PutItem", {"TableName": table, "Item": item, "ReturnValues": "ALL_OLD"})
    yield Call("PutItem", {"TableName": table, "Item": item, "ReturnValues": "ALL_OLD"})
    yield Call("PutItem", {"TableName": table, **refused_put["Put"]}, key={"p": "a"})
    yield Call("GetItem", {"TableName": table, "Key": key, "ConsistentRead": True})
    yield Call("GetItem", {"TableName": table, "Key": {**key, "p": {"S": "none"}}})
    yield Call("UpdateItem", {"TableName": table, "Key": key, "ReturnConsumedCapacity": "INDEXES", **add})
    yield Call("BatchWriteItem", {"RequestItems": {table: many}})
    yield Call("BatchGetItem", {"RequestItems": {table: {"Keys": [key, many[0]["PutRequest"]["Item"]]}}})
    yield Call("Query", {"TableName": table, "Limit": 2, **by_p})
    yield Call("Query", {"TableName": table, "ExclusiveStartKey": key, **by_p})
    yield Call("Query", {"TableName": table, "Select": "COUNT", **by_p})
    yield Call("Scan", {"TableName": table, "Limit": 3})
    yield Call("TransactWriteItems", {"TransactItems": [put]})
    yield Call("TransactWriteItems", {"TransactItems": [refused_put]})
    yield Call("TransactGetItems", {"TransactItems": [{"Get": {"TableName": table, "Key": key}}]})
    yield Call("DeleteItem", {"TableName": table, "Key": key, "ReturnValues": "ALL_OLD"})
    yield Call("GetItem", {"TableName": f"{table}-none", "Key": key})
    yield Call("GetItem", {"TableName": table, "Key": {"p": {"S": "a"}}})
    yield Call("PutItem", {"TableName": table, "Item": {**item, "big": {"S": "x" * 410_000}}})


@pytest.mark.parametrize("name", ["moto", "ministack"])
def test_answers_and_errors_are_those_of_the_botocore_lane(name: str, request: pytest.FixtureRequest) -> None:
    running: servers.RunningServer = request.getfixturevalue(f"{name}_server")
    lanes = {lane: connection_for(running.config("", transport=lane)) for lane in ("direct", "botocore")}
    assert why_not(lanes["direct"]) is None
    tables = {lane: f"same-{uuid4().hex[:10]}-{number}" for number, lane in enumerate(lanes)}
    outcomes: dict[str, list[Any]] = {}
    for lane, connection in lanes.items():
        running.client.create_table(
            TableName=tables[lane],
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "p", "AttributeType": "S"},
                {"AttributeName": "s", "AttributeType": "B"},
            ],
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        )
        outcomes[lane] = [outcome(connection, one) for one in requests(tables[lane])]
        running.client.delete_table(TableName=tables[lane])
    direct, through_botocore = (
        [repr(one).replace(tables[lane], "TABLE") for one in outcomes[lane]] for lane in ("direct", "botocore")
    )
    assert direct == through_botocore


def test_the_request(server: Recorder) -> None:
    send(connect(server.url))
    headers, body = server.requests[0]
    assert headers[""] == "POST / HTTP/1.1"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["X-Amz-Target"] == "DynamoDB_20120810.GetItem"
    assert headers["Content-Type"] == "application/x-amz-json-1.0"
    assert "X-Amz-Security-Token" not in headers
    assert "X-Amzn-Trace-Id" not in headers
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/us-east-1/dynamodb/aws4_request, SignedHeaders=content-type;host;x-amz-date;" in headers["Authorization"]
    assert json.loads(body) == GET.params


def test_the_path_of_the_endpoint_is_kept(server: Recorder) -> None:
    send(connect(f"{server.url}/db/v1"))
    assert server.requests[0][0][""] == "POST /db/v1 HTTP/1.1"


def test_binary_in_what_goes_back_into_requests(server: Recorder) -> None:
    server.answers = [
        http({"LastEvaluatedKey": {"p": {"B": "AP8="}}, "UnprocessedItems": {"BS": [{"B": {"BS": ["AA==", "/w=="]}}]}})
    ]
    connection = connect(server.url)
    answer = send(connection)
    assert answer["LastEvaluatedKey"] == {"p": {"B": b"\x00\xff"}}
    assert answer["UnprocessedItems"] == {"BS": [{"B": {"BS": [b"\x00", b"\xff"]}}]}
    server.answers = [http({"Item": {"p": {"BS": ["AA=="]}}})]
    assert send(connection)["Item"] == {"p": {"BS": [b"\x00"]}}


@pytest.mark.parametrize(
    "body", [b"[]", b"nope", b"\xff", b'{"Item":{"p":{"B":"?"}}}', b"[" * 100_000], ids=lambda body: repr(body[:20])
)
def test_what_is_no_answer_in_spite_of_its_checksum(server: Recorder, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
    server.answers = [head.encode() + body]
    with pytest.raises(ConnectionError, match="damaged") as caught:
        send(connect(server.url, retries=0))
    assert caught.value.context["operation"] == "GetItem"


TRANSACTION = {"TransactItems": [{"Get": {"TableName": "t", "Key": {}}}]}


@pytest.mark.parametrize("lane", ["direct", "botocore"])
@pytest.mark.parametrize(
    ("operation", "params", "answer"),
    [
        ("BatchGetItem", {"RequestItems": {}}, {"Responses": {"t": [{"p": "x"}]}}),
        ("BatchGetItem", {"RequestItems": {}}, {"Responses": {"t": ["x"]}}),
        ("TransactGetItems", TRANSACTION, {"Responses": ["x"]}),
        ("TransactGetItems", TRANSACTION, {"Responses": [{"Item": {"p": "x"}}]}),
        ("UpdateItem", {}, {"Attributes": {"p": [1]}}),
        ("Query", {}, {"Items": [], "Count": 0, "LastEvaluatedKey": {"p": "x"}}),
    ],
)
def test_what_is_no_item(server: Recorder, lane: str, operation: str, params: Any, answer: Any) -> None:
    server.answers = [http(answer)]
    with pytest.raises(CorruptResponseError) as caught:
        connect(server.url, transport=lane)._lane.send(Call(operation, params))
    assert hint_of(caught.value).verdict is Verdict.LOST


@pytest.mark.parametrize("lane", ["direct", "botocore"])
@pytest.mark.parametrize(
    ("operation", "params", "answer"),
    [
        ("GetItem", {}, {"Item": None, "ConsumedCapacity": None}),
        ("GetItem", {}, {"Item": {}}),
        ("TransactGetItems", TRANSACTION, {"Responses": [{}]}),
        ("BatchGetItem", {"RequestItems": {}}, {"Responses": {"t": []}, "UnprocessedKeys": None}),
        ("Query", {}, {"Count": 0, "Items": [], "LastEvaluatedKey": None}),
    ],
)
def test_what_is_left_out_and_null_are_the_same(
    server: Recorder, lane: str, operation: str, params: Any, answer: Any
) -> None:
    server.answers = [http(answer)]
    got = connect(server.url, transport=lane)._lane.send(Call(operation, params))
    got.pop("ResponseMetadata")
    assert got == {name: value for name, value in answer.items() if value is not None}


def test_a_damaged_refusal_is_one(server: Recorder) -> None:
    refusal = {"__type": "ConditionalCheckFailedException", "Item": {"p": {"B": "?"}}}
    server.answers = [http(refusal, 400)]
    with pytest.raises(CorruptResponseError) as caught:
        connect(server.url)._lane.send(GET)
    assert hint_of(caught.value).verdict is Verdict.SAFE


def test_a_refusal_is_free_as_soon_as_its_error_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Headers(dict[str, str]):
        pass

    given: list[ref[Headers]] = []

    def refuse(*_: object) -> Answer:
        headers = Headers()
        given.append(ref(headers))
        return Answer(400, headers, b'{"__type": "ConditionalCheckFailedException"}', reusable=True)

    connection = connect("http://127.0.0.1:1")
    monkeypatch.setattr(pool_of(connection), "exchange", refuse)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(ConditionFailedError):
                send(connection)
        assert [headers() for headers in given] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000])
@pytest.mark.parametrize(("status", "verdict"), [(502, Verdict.LOST), (503, Verdict.SAFE), (404, Verdict.FINAL)])
def test_a_proxys_refusal(server: Recorder, body: bytes, status: int, verdict: Verdict) -> None:
    server.answers = [f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body]
    with pytest.raises(DynamoDBWrapperError) as caught:
        connect(server.url)._lane.send(GET)
    assert caught.value.code == str(status)
    assert hint_of(caught.value).verdict is verdict


def test_on_lambda_the_trace_goes_along(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    for trace in ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "Root=2\r\nA: b"):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
        send(connect(server.url))
    first, second = (headers["X-Amzn-Trace-Id"] for headers, _ in server.requests)
    assert first == "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    assert second == "Root=2%0D%0AA:%20b"


# --- credentials and clocks -------------------------------------------------------------------------------------------


def test_credentials_are_taken_anew_for_each_request(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    credentials: Any = connection.client._request_signer._credentials  # type: ignore[attr-defined]
    for key, token in (("OLD", "T1"), ("NEW", None)):
        keys = ReadOnlyCredentials(key, "s", token)
        monkeypatch.setattr(credentials, "get_frozen_credentials", lambda keys=keys: keys)
        send(connection)
    (old, _), (new, _) = server.requests
    assert "Credential=OLD/" in old["Authorization"]
    assert "x-amz-security-token" in old["Authorization"]
    assert old["X-Amz-Security-Token"] == "T1"
    assert "Credential=NEW/" in new["Authorization"]
    assert "X-Amz-Security-Token" not in new


def test_no_credentials(server: Recorder) -> None:
    connection = connection_for(
        DynamoDBConfig(endpoint_url=server.url, region_name="us-east-1", transport="direct", retries=0)
    )
    with pytest.raises(CredentialsError, match="no AWS credentials were found"):
        send(connection)
    assert why_not(connection) == "there are no credentials"
    assert server.requests == []


def test_credentials_that_cannot_be_renewed(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError, CredentialRetrievalError

    connection = connect(server.url, retries=0)
    credentials: Any = connection.client._request_signer._credentials  # type: ignore[attr-defined]
    expired: Any = {"Error": {"Code": "ExpiredToken"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    for error in (CredentialRetrievalError(provider="p", error_msg="m"), ClientError(expired, "AssumeRole")):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(credentials, "get_frozen_credentials", fail)
        with pytest.raises(CredentialsError):
            send(connection)
    assert server.requests == []


def refused_for_time(ahead: timedelta) -> bytes:
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    body = {"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "Signature expired: ..."}
    return http(body, 400, date=date)


def test_a_wrong_clock_is_set_by_the_servers(server: Recorder) -> None:
    server.answers = [refused_for_time(timedelta(hours=2)), http(ITEM)]
    connection = connect(server.url)
    for _ in range(2):
        assert send(connection)["Item"] == ITEM["Item"]
    sent = [datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z") for headers, _ in server.requests]
    ahead = [round((moment - datetime.now(UTC)) / timedelta(hours=1)) for moment in sent]
    assert ahead == [0, 2, 2]


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=-30)])
def test_a_wrong_signature_is_not_a_matter_of_time(server: Recorder, ahead: timedelta) -> None:
    server.answers = [refused_for_time(ahead)]
    with pytest.raises(CredentialsError, match="check the secret key and this machine's clock"):
        send(connect(server.url))
    assert len(server.requests) == 1


def test_the_clock_is_set_once(server: Recorder) -> None:
    server.answers = [refused_for_time(timedelta(hours=2))]
    with pytest.raises(CredentialsError):
        send(connect(server.url))
    assert len(server.requests) == 2


def test_a_refusal_without_a_date(server: Recorder) -> None:
    server.answers = [http({"__type": "RequestExpired"}, 400), http({"__type": "RequestExpired"}, 400, date="today")]
    for _ in range(2):
        with pytest.raises(CredentialsError):
            send(connect(server.url))


# --- TLS --------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str = "127.0.0.1") -> Path:
    """A self-signed certificate, with its key in the same file."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


SecureServer = Callable[[Path], Recorder]


@pytest.fixture
def secure() -> Iterator[SecureServer]:
    made: list[Recorder] = []

    def make(file: Path) -> Recorder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        made.append(Recorder(context))
        return made[-1]

    yield make
    reset_connection()
    for recorder in made:
        recorder.close()


def test_over_tls(secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)
    connection = connect(server.url)
    assert why_not(connection) is None
    assert [send(connection)["Item"] for _ in range(3)] == [ITEM["Item"]] * 3
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: send(connection), range(40)))
    assert all(is_direct(recorded) for recorded in server.requests)
    assert set(server.handshakes) == {"TLSv1.3 http/1.1"}
    assert len(server.handshakes) <= 9


def test_a_connection_that_was_opened_ahead_is_good(
    secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)
    connection = connect(server.url)
    assert why_not(connection) is None
    pool = pool_of(connection)
    ahead = pool._take(pool._clock() + 5) or pool._connect(pool._clock() + 5)
    pool._give_back(ahead)
    until = time.monotonic() + 5
    while not ahead._poll():  # the session tickets, which a server of TLS 1.3 sends unasked
        assert time.monotonic() < until
    for _ in range(3):
        assert send(connection)["Item"] == ITEM["Item"]
    assert len(server.handshakes) == 1


def test_everything_about_a_certificate_is_checked_that_botocore_checks(tmp_path: Path) -> None:
    context = Tls(str(certificate(tmp_path))).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to name the files")
def test_a_folder_of_certificates(secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path)
    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash", "-in", file], capture_output=True, text=True, check=True
    )
    (tmp_path / f"{hashed.stdout.strip()}.0").symlink_to(file)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path))
    assert send(connect(secure(file).url))["Item"] == ITEM["Item"]


@pytest.mark.parametrize("problem", ["unknown issuer", "another name"])
def test_a_certificate_that_is_not_trusted(
    problem: str, secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path, "127.0.0.1" if problem == "unknown issuer" else "127.0.0.9")
    if problem == "another name":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)
    connection = connect(server.url)
    assert why_not(connection) is None
    with pytest.raises(ConnectionError, match=r"no secure connection to https://.*certificate verify failed") as caught:
        send(connection)
    assert hint_of(caught.value).verdict is Verdict.FINAL
    assert server.requests == []


def test_plain_text_where_tls_is_expected(server: Recorder) -> None:
    server.answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    with pytest.raises(ConnectionError, match="no secure connection") as caught:
        connect(server.url.replace("http", "https"))._lane.send(GET)
    assert hint_of(caught.value).verdict in (Verdict.FINAL, Verdict.SAFE)


def test_a_missing_ca_bundle(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(ConnectionError, match=r"the CA bundle '/nowhere/ca\.pem' cannot be read") as caught:
        connect(server.url.replace("http", "https"))._lane.send(GET)
    assert hint_of(caught.value).verdict is Verdict.FINAL


# --- who needs botocore -----------------------------------------------------------------------------------------------


def test_nobody_needs_botocore_for_items(server: Recorder) -> None:
    connection = connect(server.url)
    assert [why_not(connection, operation) for operation in sorted(OPERATIONS)] == [None] * len(OPERATIONS)
    assert why_not(connection, "DescribeTable") == "DescribeTable is not an operation on items"
    server.answers = [http({"TableNames": []})]
    send(connection, Call("ListTables", {}))
    assert not is_direct(server.requests[0])


EVENTS = [
    "provide-client-params.dynamodb.GetItem",
    "before-parameter-build.dynamodb",
    "before-endpoint-resolution.*.GetItem",
    "before-call",
    "request-created.dynamodb.*",
    "choose-signer.dynamodb.GetItem",
    "before-sign.dynamodb.GetItem",
    "before-send.dynamodb.GetItem",
    "before-parse.dynamodb.GetItem",
    "response-received.dynamodb.GetItem",
    "needs-retry.dynamodb.GetItem",
    "after-call.dynamodb.GetItem",
    "after-call-error.dynamodb.GetItem",
]


@pytest.mark.parametrize("event", EVENTS)
def test_a_handler_that_comes_and_goes(server: Recorder, event: str) -> None:
    connection = connect(server.url)
    send(connection)

    def listener(**_: object) -> None: ...

    connection.client.meta.events.register(event, listener)
    send(connection)
    reason = why_not(connection)
    assert reason is not None
    assert f"listener is registered for botocore's event {event.split('.')[0]}" in reason
    connection.client.meta.events.unregister(event, listener)
    send(connection)
    assert [is_direct(recorded) for recorded in server.requests] == [True, False, True]


def test_a_handler_for_another_operation_is_not_in_the_way(server: Recorder) -> None:
    connection = connect(server.url)
    connection.client.meta.events.register("before-send.dynamodb.PutItem", lambda **_: None)
    assert why_not(connection) is None
    assert why_not(connection, "PutItem") is not None


def test_what_a_handler_sees_is_the_request(server: Recorder) -> None:
    connection, seen = connect(server.url), list[Any]()
    connection.client.meta.events.register("before-call.dynamodb.GetItem", lambda params, **_: seen.append(params))
    send(connection)
    assert json.loads(seen[0]["body"]) == GET.params


def test_requests_that_are_not_to_be_signed(server: Recorder) -> None:
    connection = connect(server.url)
    connection.client.meta.events.register("choose-signer.dynamodb.*", botocore.handlers.disable_signing)
    send(connection)
    assert "Authorization" not in server.requests[0][0]


def test_a_stubber(server: Recorder) -> None:
    connection = connect(server.url)
    send(connection)
    with Stubber(connection.client) as stubber:
        stubber.add_response("get_item", {"Item": {"p": {"S": "stubbed"}}})
        assert send(connection)["Item"] == {"p": {"S": "stubbed"}}
    send(connection)
    assert [is_direct(recorded) for recorded in server.requests] == [True, True]


def test_mock_aws(server: Recorder) -> None:
    import moto

    with moto.mock_aws():
        connection = connect(None)
        assert why_not(connection) == "moto is mocking botocore"
        send(connection, Call("ListTables", {}))
        assert connection.health_check()
    assert why_not(connection) is None
    assert why_not(connect(server.url)) is None
    send(connect(server.url))
    assert is_direct(server.requests[0])


class Wrapper:
    """As wrapt's: it answers for the function it wraps, in everything but its type."""

    def __init__(self, wrapped: Any) -> None:
        self.__wrapped__ = wrapped
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __get__(self, instance: Any, owner: Any) -> Any:
        def bound(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return self.__wrapped__(instance, *arguments, **options)

        return bound


def test_a_wrapped_api_call(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    wrapper = Wrapper(botocore.client.BaseClient._make_api_call)  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", wrapper)
        send(connection)
        assert "_make_api_call is wrapped" in str(why_not(connection))
    assert wrapper.calls == 1
    with monkeypatch.context() as patch:
        patch.setattr(connection.client, "_make_api_call", lambda *_: dict(ITEM), raising=False)
        send(connection)
    send(connection)
    assert [is_direct(recorded) for recorded in server.requests] == [False, True]


def test_a_wrapper_that_was_there_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from dynamodb_wrapper.transport import guard

    wrapper = Wrapper(botocore.client.BaseClient._make_api_call)  # type: ignore[attr-defined]
    monkeypatch.setattr(guard, "_plain_make_api_call", [])
    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", wrapper)
        assert "is wrapped" in str(why_not(connect("http://127.0.0.1:9")))
    assert why_not(connect("http://127.0.0.1:9")) is None


@pytest.mark.parametrize(
    ("environment", "url", "reason"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://dynamo.test", "through a proxy"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, None, "through a proxy"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "amazonaws.com"}, None, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None, None),
        ({}, "http://dynamo.test/a%20b", "more than a host and a plain path"),
        ({}, "http://dynamo.test/a/../b", "more than a host and a plain path"),
        ({"AWS_ENDPOINT_DISCOVERY_ENABLED": "true"}, None, "discover"),
        ({}, "embedded://direct", "embedded"),
        ({}, "http://dynamo.test:8000/a/b/", None),
        ({}, "http://[::1]:8000", None),
        ({}, None, None),
    ],
)
def test_what_only_botocore_can_do(
    environment: dict[str, str], url: str | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = why_not(connect(url))
    assert (reason is None and found is None) or (reason is not None and reason in str(found)), found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda client: setattr(client.meta.config, "client_cert", "me.pem"), "client certificate"),
        (lambda client: setattr(client._endpoint.http_session, "_cert_file", "me.pem"), "client certificate"),
        (lambda client: setattr(client._endpoint.http_session, "_verify", False), "not verified"),
        (lambda client: setattr(client.meta.config, "signature_version", "v4a"), "signed in the way 'v4a'"),
        (lambda client: setattr(client._request_signer, "_signature_version", "v4a"), "signed in the way"),
        (lambda client: setattr(client.meta.config, "auth_scheme_preference", "sigv4a"), "preference among"),
    ],
)
def test_a_client_that_does_it_otherwise(change: Callable[[Any], None], reason: str) -> None:
    connection = connect("http://127.0.0.1:9")
    change(connection.client)
    assert reason in str(why_not(connection))


@pytest.mark.parametrize("missing", ["_endpoint", "_ruleset_resolver", "_request_signer"])
def test_a_botocore_built_otherwise(server: Recorder, missing: str) -> None:
    connection = connect(server.url)
    inside = getattr(connection.client, missing)
    delattr(connection.client, missing)
    assert why_not(connection) is not None
    setattr(connection.client, missing, inside)


# --- where to ---------------------------------------------------------------------------------------------------------


knows_accounts = pytest.mark.skipif(
    "account_id" not in ReadOnlyCredentials._fields, reason="this botocore has no endpoints of accounts"
)


def place(connection: Connection) -> tuple[str, int, str]:
    route = route_of(connection)
    return route._host, route.address[1], route._signer._region


def test_the_endpoint_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(connect(None, region_name="eu-west-1")) == ("dynamodb.eu-west-1.amazonaws.com", 443, "eu-west-1")
    assert place(connect(None, region_name="cn-north-1"))[0] == "dynamodb.cn-north-1.amazonaws.com.cn"
    assert place(connect(None, region_name="local")) == ("localhost:8000", 8000, "us-east-1")
    reset_connection()
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert place(connect(None))[0] == "dynamodb-fips.us-east-1.amazonaws.com"


@knows_accounts
def test_endpoints_of_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(None)
    assert place(connection)[0] == "dynamodb.us-east-1.amazonaws.com"
    credentials: Any = connection.client._request_signer._credentials  # type: ignore[attr-defined]
    for account in ("111122223333", "444455556666"):
        keys = ReadOnlyCredentials("K", "S", None, account)
        monkeypatch.setattr(credentials, "get_frozen_credentials", lambda keys=keys: keys)
        monkeypatch.setattr(credentials, "account_id", account, raising=False)
        assert place(connection)[0] == f"{account}.ddb.us-east-1.amazonaws.com"


@knows_accounts
def test_a_table_of_another_account_is_botocores(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Call] = []
    connection = connect(None)
    lane: Any = connection._direct
    monkeypatch.setattr(lane._fallback, "send", lambda request, time_left: sent.append(request) or {})
    arn = "arn:aws:dynamodb:us-east-1:111122223333:table/t"
    actions = [{"Put": {"TableName": "t", "Item": {}}}, {"Delete": {"TableName": arn, "Key": {}}}]
    about_it = [
        Call("GetItem", {"TableName": arn, "Key": {}}),
        Call("BatchGetItem", {"RequestItems": {"t": {}, arn: {}}}),
        Call("TransactWriteItems", {"TransactItems": actions}),
    ]
    for request in about_it:
        lane.send(request)
    assert sent == about_it
    send(connect(server.url), Call("GetItem", {"TableName": arn, "Key": {}}))
    assert is_direct(server.requests[0])


# --- processes and threads --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_parent_and_child_do_not_share_connections(server: Recorder) -> None:
    connection = connect(server.url)
    send(connection)
    pool = pool_of(connection)
    sockets = [stream._socket.getsockname() for stream in pool._idle]
    reader, writer = os.pipe()
    with pool._lock:  # as if another thread were just taking a connection
        child = os.fork()
    if child == 0:
        try:
            answer = send(connection)
            apart = pool_of(connection) is not pool and pool._idle == []
            os.write(writer, b"fine" if apart and answer["Item"] == ITEM["Item"] else b"wrong")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"fine"
    os.waitpid(child, 0)
    send(connection)
    assert [stream._socket.getsockname() for stream in pool._idle] == sockets


def test_disconnecting_closes_the_connections(server: Recorder) -> None:
    connection = connect(server.url)
    send(connection)
    kept = pool_of(connection)._idle[0]._socket
    reset_connection()
    assert kept.fileno() == -1
    send(connection)
    connection.close()
    with pytest.raises(ConnectionError, match="this connection is closed"):
        send(connection)


def test_a_call_that_a_close_overtakes_leaves_no_connection(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    lane: Any = connection._direct
    find = connection._routes.find

    def found(call: Call) -> Any:
        route = find(call)
        connection.close()
        return route

    monkeypatch.setattr(connection._routes, "find", found)
    assert lane.send(GET)["Item"] == ITEM["Item"]
    assert lane._open[1]._idle == []


def test_threads_never_get_each_others_answers(moto_server: servers.RunningServer) -> None:
    connection = connection_for(moto_server.config("", transport="direct", max_pool_connections=3))
    table = f"threads-{uuid4().hex[:10]}"
    moto_server.client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
    )

    def round_trip(number: int) -> bool:
        key = {"p": {"S": str(number)}}
        send(connection, Call("PutItem", {"TableName": table, "Item": {**key, "n": {"N": str(number)}}}))
        return bool(
            send(connection, Call("GetItem", {"TableName": table, "Key": key}))["Item"]["n"]["N"] == str(number)
        )

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(round_trip, range(120)))
    moto_server.client.delete_table(TableName=table)


def test_credentials_that_come_too_late(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, go_on = connect(server.url, retries=0), threading.Event()
    lane: Any = connection._direct
    lane.send(GET, 5.0)
    credentials: Any = connection.client._request_signer._credentials  # type: ignore[attr-defined]
    keys = credentials.get_frozen_credentials()
    monkeypatch.setattr(credentials, "refresh_needed", lambda: True, raising=False)
    monkeypatch.setattr(credentials, "get_frozen_credentials", lambda: go_on.wait(10) and keys)
    with pytest.raises(DeadlineExceededError) as caught:
        lane.send(GET, 0.05)
    assert hint_of(caught.value).verdict is Verdict.SAFE
    assert len(server.requests) == 1
    go_on.set()
    assert lane.send(GET, 5.0)["Item"] == ITEM["Item"]
    monkeypatch.setattr(credentials, "get_frozen_credentials", lambda: time.sleep(0.4) or keys)
    server.answers = [b"HTTP/1.1 200 OK\r\n"]
    with pytest.raises(DeadlineExceededError, match=r"within the 0\.[0-2]\d* s that were left") as caught:
        lane.send(GET, 0.6)
    assert hint_of(caught.value).verdict is Verdict.LOST


def test_the_time_left_is_for_everything(server: Recorder) -> None:
    connection = connect(server.url)
    lane: Any = connection._direct
    lane.send(GET, time_left=5.0)
    with pytest.raises(DeadlineExceededError, match="no time was left") as caught:
        lane.send(GET, 0.0)
    assert hint_of(caught.value).verdict is Verdict.SAFE
    server.answers = [b"HTTP/1.1 200 OK\r\n"]
    with pytest.raises(
        DeadlineExceededError, match=r"no answer came within the .* s that were left of the time limit"
    ) as caught:
        lane.send(GET, 0.05)
    assert hint_of(caught.value).verdict is Verdict.LOST
    assert caught.value.context == {"table_name": "t", "key": {"p": "x"}}
