"""Answers whose items are parsed apart are what botocore's parser makes of them; shortcuts give what botocore does."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore import auth, useragent
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.parsers import JSONParser
from botocore.serialize import JSONSerializer
from botocore.signers import RequestSigner
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.codec import to_json
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.transport import connection_for
from dynamodb_wrapper.transport.parsing import items_apart
from tests.unit.test_one_pass import WIRES

MODEL = botocore.session.get_session().get_service_model("dynamodb")
NAMES = st.text(max_size=3) | st.sampled_from(["B", "BS", "S", "null", "M"])
ITEMS = st.dictionaries(NAMES, WIRES, max_size=3)
CAPACITY = {"TableName": "t", "CapacityUnits": 1, "Table": {"CapacityUnits": 1}}
KEY = {"p": {"B": "AP8="}, "q": {"N": "1"}}


def parsed(operation: str, body: bytes) -> Any:
    answer = {"status_code": 200, "headers": {"x-amzn-requestid": "R"}, "body": body}
    return JSONParser().parse(answer, MODEL.operation_model(operation).output_shape)


def check_same(operation: str, answer: object) -> None:
    body = json.dumps(answer).encode()
    items, rest = items_apart(operation, body)
    assert repr({**parsed(operation, rest), **items}) == repr(parsed(operation, body)), "in the same order, too"


@given(st.lists(ITEMS, max_size=3))
def test_items_apart_are_those_that_botocore_parses(items: list[Any]) -> None:
    item = items[0] if items else {}
    check_same("GetItem", {"Item": item, "ConsumedCapacity": CAPACITY})
    check_same("UpdateItem", {"Attributes": item, "ItemCollectionMetrics": {"SizeEstimateRangeGB": [0, 1]}})
    for operation in ("PutItem", "DeleteItem"):
        check_same(operation, {"Attributes": item})
    count = {"Count": len(items), "ScannedCount": 7, "ConsumedCapacity": CAPACITY}
    for operation in ("Query", "Scan"):
        check_same(operation, {"Items": items, **count, "LastEvaluatedKey": KEY})
    left = {"UnprocessedKeys": {"t": {"Keys": [KEY]}}, "ConsumedCapacity": [CAPACITY]}
    check_same("BatchGetItem", {"Responses": {"t": items, "BS": []}, **left})
    check_same("TransactGetItems", {"Responses": [{"Item": item}, {}], "ConsumedCapacity": [CAPACITY]})


def test_items_are_taken_out() -> None:
    body = b'{"Items":[{"p":{"S":"null"}}],"Count":1}'
    assert items_apart("Query", body) == ({"Items": [{"p": {"S": "null"}}]}, b'{"Items": [], "Count": 1}')
    binary = b'{"Item":{"p":{"B":"AP8="}}}'
    assert items_apart("GetItem", binary) == ({"Item": {"p": {"B": b"\x00\xff"}}}, b'{"Item": {}}')


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"",
        b"{",
        b"\xff",
        b'{"Item":null}',
        b'{"Item":[]}',
        b'{"Item":"x"}',
        b'{"Item":{"p":"x"}}',
        b'{"Item":{"p":null}}',
        b'{"Item":{"p":{"S":null}}}',
        b'{"Item":{"p":{"L":[{"S":null}]}}}',
        b'{"Item":{"p":{"B":"not base64"}}}',
        b'{"Item":{"p":{"S":"\\ud800"}}}',
        b'{"Item":' + b'{"p":{"M":' * 500 + b"{}" + b"}}" * 500 + b"}",
    ],
)
def test_what_dynamodb_does_not_send_is_left_to_botocore(body: bytes) -> None:
    assert items_apart("GetItem", body) == ({}, body)


def test_an_answer_without_items_is_left_to_botocore() -> None:
    for operation, body in (("ListTables", b'{"TableNames":[]}'), ("Query", b'{"Count":3}'), ("PutItem", b"{}")):
        assert items_apart(operation, body) == ({}, body)


# --- shortcuts --------------------------------------------------------------------------------------------------------


def client(**options: Any) -> Any:
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "SECRET"}
    return connection_for(
        DynamoDBConfig(endpoint_url="http://a.test:8000", region_name="us-east-1", **keys, **options)
    ).client


class Wrapper:
    """As wrapt's, it says that it equals the function that it wraps."""

    def __init__(self, wrapped: Any) -> None:
        self.__wrapped__ = wrapped
        self.calls = 0

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else partial(self, instance)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self.__wrapped__(*arguments, **options)

    def __eq__(self, other: object) -> bool:
        return other is self.__wrapped__ or other is self

    __hash__ = object.__hash__


REPLACED = [
    (JSONSerializer, ["serialize_to_request", "_serialize", "_serialize_type_structure", "_serialize_type_map"]),
    (useragent, ["modify_components"]),
    (useragent.UserAgentString, ["to_string"]),
    (RequestSigner, ["sign", "get_auth_instance"]),
    (auth, ["_host_from_url"]),
    (auth.SigV4Auth, ["canonical_request", "headers_to_sign", "canonical_headers", "signed_headers", "_header_value"]),
    (auth.SigV4Auth, ["canonical_query_string", "_normalize_url_path", "payload", "string_to_sign", "scope"]),
    (auth.SigV4Auth, ["signature", "_sign", "_inject_signature_to_request", "add_auth"]),
]


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in REPLACED for name in names])
def test_whoever_wraps_botocore_is_called(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dynamodb_wrapper.operations.effects import Call
    from dynamodb_wrapper.transport.parsing import answer

    sender = client(max_pool_connections=3)
    item = json.dumps({"Item": KEY}).encode()
    received = SimpleNamespace(status_code=200, headers={}, content=item, raw=None)
    monkeypatch.setattr(sender._endpoint.http_session, "send", lambda _: received)

    def send() -> None:
        wire = {"p": {"B": b"\x00\xff"}, "q": {"N": "1"}}
        found = answer(sender, Call("PutItem", {}), {"TableName": "t", "Item": wire, "ReturnValues": "ALL_OLD"})
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 200

    send()
    wrapper = Wrapper(getattr(owner, name))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, wrapper)
        send()
        seen = wrapper.calls
    assert seen
    send()
    assert wrapper.calls == seen


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-Amz-Target", "x-amz-target", "Content-Type", "X-Own", "User-Agent", "Expect", "Host"])
        | st.sampled_from(["X-Amz-Date", "Date", "Authorization", "X-Amz-Content-SHA256", "X-Amzn-Trace-Id", "a-"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    ),
    max_size=6,
)


@given(
    HEADERS,
    st.sampled_from(
        ["http://a.test:8000/", "https://b.test/x/../y%20z//", "https://c.test:443?b=2&a=1", "http://[::1]:1"]
    ),
    st.binary(max_size=9),
    st.sampled_from([None, "TOKEN"]),
    st.sampled_from([{}, {"payload_signing_enabled": False}]),
    st.sampled_from([{}, {"q": "1 2"}]),
)
def test_signatures_are_botocores(
    headers: list[tuple[str, str]], url: str, body: bytes, token: str | None, context: dict[str, Any], params: Any
) -> None:
    signing = vars(client()._request_signer)["get_auth_instance"]
    place = {"signing_name": "dynamodb", "region_name": "eu-north-1", "signature_version": "v4"}
    signed = []
    for get in (signing, signing._plainly):
        request = AWSRequest("POST", url, data=body, params=params)
        request.headers = HTTPHeaders()
        for name, value in headers:
            request.headers.add_header(name, value)
        request.context.update(context)
        get(**place, request_credentials=Credentials("AKID", "SECRET", token)).add_auth(request)
        signed.append((request.context["timestamp"], request.headers.items()))
    if signed[0][0] == signed[1][0]:  # within the same second
        assert signed[0] == signed[1]
    assert type(signing(**place)) is not auth.SigV4Auth


def test_other_signatures_are_left_to_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = client()._request_signer
    other = signer.get_auth_instance("dynamodb", "us-east-1", signature_version="v4-query")
    assert type(other) is auth.SigV4QueryAuth
    monkeypatch.setattr(auth.SigV4Auth, "signature", lambda *_: "wrapped")
    assert type(signer.get_auth_instance("dynamodb", "us-east-1", signature_version="v4")) is auth.SigV4Auth


def test_the_key_of_a_signature_is_the_days(monkeypatch: pytest.MonkeyPatch) -> None:
    signing = vars(client()._request_signer)["get_auth_instance"]
    place = {"signing_name": "dynamodb", "region_name": "us-east-1", "signature_version": "v4"}
    request = AWSRequest("POST", "http://a.test/")
    found = []
    for day in ("20260101", "20260102", "20260101"):
        request.context["timestamp"] = f"{day}T000000Z"
        pair = [get(**place).signature("text", request) for get in (signing, signing._plainly)]
        assert pair[0] == pair[1]
        found.append(pair[0])
    assert found[0] == found[2] != found[1]


def test_the_user_agent_is_botocores() -> None:
    context = pytest.importorskip("botocore.context")
    creator = client()._user_agent_creator
    remembered = creator.to_string
    assert type(remembered).__module__ == "dynamodb_wrapper.transport.shortcuts"
    assert remembered() == remembered._plainly() == remembered()
    with context.start_as_current_context(context.ClientContext(features={"AB"})):
        assert remembered() == remembered._plainly()
        assert "AB" in remembered()
    assert "AB" not in remembered()
    creator._client_config.user_agent_extra = "extra/1"
    assert remembered().endswith("extra/1")


PARAMETERS = {
    "TableName": "t",
    "Item": {
        "a": {"S": 'ü "B"\u2028'},
        "b": {"B": b"\x00\xff"},
        "c": {"M": {"B": {"BS": [b"1"]}}},
        "n": {"NULL": True},
    },
    "ConditionExpression": "attribute_exists(p)",
}


def test_what_nobody_sees_is_written_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    from dynamodb_wrapper.operations.effects import Call
    from dynamodb_wrapper.transport.parsing import Reading, reading

    serializer = client()._serializer
    model = MODEL.operation_model("PutItem")
    plain = serializer.serialize_to_request(PARAMETERS, model)
    assert plain["body"] != to_json(PARAMETERS), "it is botocore's"
    for own in (None, b'{"TableName": "t"}'):
        current = Reading(Call("PutItem", PARAMETERS, body=own))
        token = reading.set(current)
        try:
            current.begun = 1
            quick = serializer.serialize_to_request(PARAMETERS, model)
            current.begun = 2  # of another call, then
            assert serializer.serialize_to_request(PARAMETERS, model) == plain
        finally:
            reading.reset(token)
        assert quick["body"] == (own or to_json(PARAMETERS))
        if own is None:
            assert json.loads(quick["body"]) == json.loads(plain["body"])
        assert {**quick, "body": b""} == {**plain, "body": b""}
        quick["headers"]["X"] = "y"
        assert "X" not in serializer.serialize_to_request(PARAMETERS, model)["headers"]
