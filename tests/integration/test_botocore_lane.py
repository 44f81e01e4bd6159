"""Through botocore: what listeners see and change is what botocore's own parser gives, whoever they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import botocore.client
import botocore.endpoint
import botocore.parsers
import pytest
from botocore.history import get_global_history_recorder
from botocore.stub import Stubber
from pydantic import BaseModel, field_validator

from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.exceptions import ConditionFailedError, TableNotFoundError
from dynamodb_wrapper.transport import connection_for, parsing
from tests import servers
from tests.integration import test_direct_lane
from tests.integration.test_direct_lane import Recorder, Wrapper, config, http, outcome, requests

server, disconnected = test_direct_lane.server, test_direct_lane.disconnected

PAGE = {
    "Items": [{"p": {"S": "a"}, "n": {"N": "1"}}, {"p": {"S": "b"}, "n": {"N": "2"}}],
    "Count": 2,
    "ScannedCount": 5,
}
SEEN_ITEMS = {name: PAGE[name] for name in ("Items", "Count", "ScannedCount")}


class Thing(BaseModel):
    p: str
    n: int = 0

    @field_validator("n")
    @classmethod
    def not_too_many(cls, value: int) -> int:
        assert value < 100
        return value


class Things(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "p"


@pytest.fixture
def things(server: Recorder) -> Things:
    server.answers = [http(PAGE)]
    return Things(config(server.url, transport="botocore"))


@pytest.fixture
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each answer was read without being parsed."""
    found: list[bool] = []
    plainly = parsing.Parsing._unseen

    def unseen(self: parsing.Parsing, operation: str) -> parsing.Reading | None:
        current = plainly(self, operation)
        found.append(current is not None)
        return current

    monkeypatch.setattr(parsing.Parsing, "_unseen", unseen)
    return found


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What botocore's parser was given, seen from below what could tell that it is looked at."""
    found: list[bytes] = []
    looked_at = SimpleNamespace(loads=lambda text: (found.append(text), json.loads(text))[1])
    monkeypatch.setattr(botocore.parsers, "json", looked_at)
    return found


def client_of(things: Things) -> Any:
    return connection_for(things.config).client


def all_of(things: Things) -> list[tuple[str, int]]:
    return [(thing.p, thing.n) for thing in things.scan().all()]


# --- nobody looks -----------------------------------------------------------------------------------------------------


def test_where_nobody_looks_answers_are_read_at_once(things: Things, read_at_once: list[bool]) -> None:
    assert all_of(things) == [("a", 1), ("b", 2)]
    assert read_at_once == [True, True], "written, and read"


def test_what_cannot_be_read_at_once_is_parsed(things: Things, server: Recorder) -> None:
    server.answers = [
        http({"Items": [{"p": {"S": "a"}}], "Count": 1, "LastEvaluatedKey": {"p": {"B": "AA=="}}}),
        http(PAGE),
    ]
    assert all_of(things) == [("a", 0), ("a", 1), ("b", 2)]
    assert json.loads(server.requests[1][1])["ExclusiveStartKey"] == {"p": {"B": "AA=="}}


def test_a_request_in_the_middle_of_another_has_its_own_answer(things: Things, server: Recorder) -> None:
    """Credentials that are kept in a table, for example: nobody is registered for anything."""
    client, seen = client_of(things), list[Any]()
    credentials = client._request_signer._credentials
    frozen = credentials.get_frozen_credentials

    def from_a_table() -> Any:
        credentials.get_frozen_credentials = frozen
        seen.append(client.scan(TableName="keys"))
        return frozen()

    server.answers = [http({"Items": [{"key": {"S": "k"}}], "Count": 1}), http(PAGE)]
    credentials.get_frozen_credentials = from_a_table
    assert all_of(things) == [("a", 1), ("b", 2)]
    assert seen[0]["Items"] == [{"key": {"S": "k"}}]
    assert [json.loads(body)["TableName"] for _, body in server.requests] == ["keys", "dev_things"]


def test_an_item_that_is_no_model_is_refused_alike(things: Things, server: Recorder) -> None:
    from dynamodb_wrapper.exceptions import ValidationError

    server.answers = [http({"Items": [{"p": {"S": "a"}, "n": {"N": "100"}}], "Count": 1})]
    errors = []
    for register in (False, True):
        if register:
            client_of(things).meta.events.register("before-parse.dynamodb", lambda **_: None)
        with pytest.raises(ValidationError) as caught:
            all_of(things)
        errors.append((caught.value.message, caught.value.errors))
    assert errors[0] == errors[1]


# --- somebody looks ---------------------------------------------------------------------------------------------------


def as_handler(event: str, member: str) -> Callable[[Things, list[Any]], Any]:
    @contextmanager
    def listening(things: Things, seen: list[Any]) -> Iterator[None]:
        def listener(**values: Any) -> None:
            found = values[member]
            seen.append(found[1] if isinstance(found, tuple) else found)

        client_of(things).meta.events.register(event, listener)
        yield

    return listening


@contextmanager
def as_wrapper(things: Things, seen: list[Any]) -> Iterator[None]:
    """As OpenTelemetry, X-Ray and Datadog do."""

    class Looking(Wrapper):
        def __get__(self, instance: Any, owner: Any) -> Any:
            bound = super().__get__(instance, owner)

            def looking(*arguments: Any) -> Any:
                seen.append(bound(*arguments))
                return seen[-1]

            return looking

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            botocore.client.BaseClient,
            "_make_api_call",
            Looking(botocore.client.BaseClient._make_api_call),  # type: ignore[attr-defined]
        )
        yield


@contextmanager
def as_wrapped_method(things: Things, seen: list[Any]) -> Iterator[None]:
    client = client_of(things)
    plainly = client.scan

    def scan(**params: Any) -> Any:
        seen.append(plainly(**params))
        return seen[-1]

    client.scan = scan
    yield


def as_wrapped(owner: Callable[[Any], Any], name: str) -> Callable[[Things, list[Any]], Any]:
    @contextmanager
    def wrapped(things: Things, seen: list[Any]) -> Iterator[None]:
        of = owner(client_of(things))
        plainly = getattr(of, name)

        def looking(*arguments: Any) -> Any:
            found = answer = plainly(*arguments)
            while isinstance(found, tuple):  # of the answer and an error; of what came, and what was parsed of it
                found = found[0] if found[1] is None else found[1]
            seen.append(found)
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(of, name, looking)
            yield

    return wrapped


@contextmanager
def as_history(things: Things, seen: list[Any]) -> Iterator[None]:
    class Handler:
        def emit(self, event_type: str, payload: Any, source: str) -> None:
            if event_type == "PARSED_RESPONSE":
                seen.append(payload)

    history = get_global_history_recorder()
    history.add_handler(Handler())
    history.enable()
    yield
    history.disable()
    history._handlers.clear()


LISTENERS = {
    "after-call": as_handler("after-call.dynamodb.Scan", "parsed"),
    "needs-retry": as_handler("needs-retry.dynamodb", "response"),
    "response-received": as_handler("response-received", "parsed_response"),
    "wrapper": as_wrapper,
    "method": as_wrapped_method,
    **{
        f"{where}: {name}": as_wrapped(owner, name)
        for where, owner in {"class": lambda _: botocore.endpoint.Endpoint, "object": lambda of: of._endpoint}.items()
        for name in ("make_request", "_send_request", "_get_response", "_do_get_response")
    },
    "class: _make_request": as_wrapped(lambda _: botocore.client.BaseClient, "_make_request"),
    "object: _make_request": as_wrapped(lambda client: client, "_make_request"),
    "history": as_history,
}


@pytest.mark.parametrize("name", LISTENERS)
def test_listeners_see_the_items_and_may_change_them(name: str, things: Things, read_at_once: list[bool]) -> None:
    all_of(things)  # nobody listened when it was first asked
    read_at_once.clear()
    seen: list[Any] = []
    with LISTENERS[name](things, seen):
        assert all_of(things) == [("a", 1), ("b", 2)]
    assert {member: seen[-1][member] for member in SEEN_ITEMS} == SEEN_ITEMS
    assert type(seen[-1]) is dict
    assert type(seen[-1]["Items"]) is list
    assert seen[-1]["ResponseMetadata"]["RequestId"] == "REQ1"
    assert True not in read_at_once


def test_what_a_listener_changes_counts(things: Things) -> None:
    def decrypt(parsed: Any, **_: object) -> None:
        for item in parsed["Items"]:
            item["n"] = {"N": "7"}
        parsed["Items"].append({"p": {"S": "c"}})
        parsed["Count"] += 1

    client_of(things).meta.events.register("after-call.dynamodb.Scan", decrypt)
    assert all_of(things) == [("a", 7), ("b", 7), ("c", 0)]


@pytest.mark.parametrize("event", ["before-parse", "before-parse.dynamodb.Scan", "before-parse.*.*"])
def test_whoever_looks_at_the_body_finds_the_items_in_it(event: str, things: Things, given: list[bytes]) -> None:
    bodies: list[Any] = []

    def look(response_dict: Any, **_: object) -> None:
        bodies.append(json.loads(response_dict["body"]))

    all_of(things)
    given.clear()
    client_of(things).meta.events.register_last(event, look)
    assert all_of(things) == [("a", 1), ("b", 2)]
    assert bodies == [PAGE]
    assert [json.loads(body) for body in given] == [PAGE]


@pytest.mark.parametrize("name", ["parse", "_handle_structure", "_parse_shape"])
def test_a_wrapped_parser_is_given_the_items(name: str, things: Things, given: list[bytes]) -> None:
    all_of(things)
    assert json.loads(given.pop())["Items"] == []
    plainly = getattr(botocore.parsers.JSONParser, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.parsers.JSONParser, "parse", lambda *arguments: whole(*arguments))
        whole = botocore.parsers.ResponseParser.parse
        patch.setattr(botocore.parsers.JSONParser, name, lambda *arguments: plainly(*arguments))
        assert all_of(things) == [("a", 1), ("b", 2)]
    assert json.loads(given.pop()) == PAGE
    all_of(things)
    assert json.loads(given.pop())["Items"] == []


def test_a_parser_with_its_own_ways_is_given_the_items(things: Things, given: list[bytes]) -> None:
    client_of(things)._endpoint._response_parser_factory.set_parser_defaults(blob_parser=lambda text: text)
    all_of(things)
    assert json.loads(given.pop()) == PAGE


def test_a_parser_in_the_place_of_botocores_is_given_the_items(things: Things, given: list[bytes]) -> None:
    class Own(botocore.parsers.JSONParser):
        """It has the ``parse`` of the other one."""

        def _handle_blob(self, shape: Any, value: Any) -> Any:
            return value

    all_of(things)
    given.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(botocore.parsers.PROTOCOL_PARSERS, "json", Own)
        all_of(things)
    assert json.loads(given.pop()) == PAGE


@pytest.mark.parametrize("where", ["class", "object"])
def test_what_somebody_else_makes_of_the_parameters_is_sent(where: str, things: Things, server: Recorder) -> None:
    all_of(things)
    client: Any = client_of(things)
    plainly = client._emit_api_params

    def elsewhere(*_: object, api_params: Any, **others: Any) -> Any:
        return plainly(api_params={**api_params, "TableName": "elsewhere"}, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient if where == "class" else client, "_emit_api_params", elsewhere)
        all_of(things)
    assert json.loads(server.requests[-1][1])["TableName"] == "elsewhere"


def test_botocores_log_has_the_items(things: Things, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "botocore.parsers"):
        assert all_of(things) == [("a", 1), ("b", 2)]
    assert '"Items"' in caplog.text


def test_an_answer_that_a_stubber_gives(things: Things, server: Recorder) -> None:
    with Stubber(client_of(things)) as stubber:
        stubber.add_response("scan", {"Items": [{"p": {"S": "stubbed"}, "n": {"N": "3"}}], "Count": 1})
        assert all_of(things) == [("stubbed", 3)]
    assert not server.requests
    assert all_of(things) == [("a", 1), ("b", 2)]


def test_an_answer_that_a_mock_gives(things: Things, server: Recorder) -> None:
    def fake(*_: object) -> Any:
        return {"Items": [{"p": {"S": "mocked"}, "n": {"N": "3"}}], "Count": 1}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", fake)
        assert all_of(things) == [("mocked", 3)]
    assert not server.requests


def test_what_a_handler_sees_of_a_request_is_botocores(things: Things) -> None:
    client, bodies = client_of(things), list[bytes]()
    client.meta.events.register("before-call.dynamodb.PutItem", lambda params, **_: bodies.append(params["body"]))
    things.put(Thing(p="ü", n=1))
    assert bodies[0].startswith(b'{"TableName": "'), "as botocore writes it"
    assert b'{"S": "\\u00fc"}' in bodies[0]


def test_moto(read_at_once: list[bool]) -> None:
    import moto

    with moto.mock_aws():
        things = Things(config(None, transport="botocore"))
        things.ensure_table()
        things.put_many([Thing(p="a", n=1), Thing(p="b", n=2)])
        assert sorted(all_of(things)) == [("a", 1), ("b", 2)]
        assert things.get("a") == Thing(p="a", n=1)
        with pytest.raises(ConditionFailedError):
            things.create(Thing(p="a"))
    assert True not in read_at_once


# --- every operation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["moto", "ministack"])
def test_answers_are_the_same_whoever_parses_them(name: str, request: pytest.FixtureRequest) -> None:
    running: servers.RunningServer = request.getfixturevalue(f"{name}_server")
    outcomes: list[list[str]] = []
    for events in ((), ("after-call",), ("after-call", "before-parse")):
        connection = connection_for(running.config("", transport="botocore", max_pool_connections=10 + len(events)))
        seen: list[Any] = []
        for event in events:
            connection.client.meta.events.register(f"{event}.dynamodb", partial(keep_parsed, seen))
        table = f"same-{uuid4().hex[:10]}"
        with ExitStack() as stack:
            running.client.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": "p", "AttributeType": "S"},
                    {"AttributeName": "s", "AttributeType": "B"},
                ],
                KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
            )
            stack.callback(running.client.delete_table, TableName=table)
            found = [outcome(connection, one) for one in requests(table)]
        for parsed in seen:
            parsed.pop("ResponseMetadata", None)
        outcomes.append(
            [stable(found).replace(table, "TABLE"), repr(sorted(map(stable, seen))).replace(table, "TABLE")]
        )
    nobody, seen_parsed, seen_plain = outcomes
    assert nobody[0] == seen_parsed[0] == seen_plain[0]
    assert seen_parsed[1] == seen_plain[1] != "[]"


def keep_parsed(seen: list[Any], parsed: Any = None, **_: object) -> None:
    if parsed is not None:
        seen.append(parsed)


def stable(parsed: Any) -> str:
    return json.dumps(parsed, sort_keys=True, default=repr)


def test_refusals_are_botocores(things: Things, server: Recorder) -> None:
    server.answers = [http({"__type": "x#ResourceNotFoundException", "message": "no"}, 400)]
    with pytest.raises(TableNotFoundError):
        all_of(things)
