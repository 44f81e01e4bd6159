"""Without botocore until somebody needs it: the same place and keys, listeners seen whenever they come, warming up."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError
from pydantic import BaseModel

from dynamodb_wrapper import AsyncBaseDynamoRepository, BaseDynamoRepository, DynamoDBConfig
from dynamodb_wrapper.exceptions import ConnectionError, CredentialsError, DeadlineExceededError, ValidationError
from dynamodb_wrapper.transport import Connection, clients, reset_connection
from dynamodb_wrapper.transport.guard import place_of
from dynamodb_wrapper.transport.places import Place, UnknownPlaceError, plain_keys, plain_place
from tests.integration.test_direct_lane import GET, ITEM, Recorder, config, connect, http, is_direct, pool_of, send
from tests.servers import ROOT
from tests.timing import in_time


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


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that has nothing for botocore, and a home without files."""
    for name in os.environ:
        if name.upper().startswith(("AWS", "BOTO")) or name.upper().endswith("_PROXY") or "CA_BUNDLE" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


# --- the same place and keys as botocore's ----------------------------------------------------------------------------


def plainly(settings: DynamoDBConfig) -> Place | None:
    try:
        plain_keys(settings)
        return plain_place(settings, os.environ)
    except UnknownPlaceError:
        return None


def through_botocore(settings: DynamoDBConfig) -> Place | str:
    """Where botocore goes, or why it does not, or the direct lane does not go there."""
    try:
        return place_of(clients.new_lane_client(clients.new_session(settings), settings))
    except (BotoCoreError, UnknownPlaceError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def are_same(found: Place, theirs: Place | str) -> bool:
    if not isinstance(theirs, Place):
        return False
    ignored = {"is_by_account"} | ({"ca_bundle"} if found.scheme == "http" else set())
    names = [name for name in Place.__slots__ if name not in ignored]
    # Old versions of botocore know no endpoints of accounts; then tables of other accounts are left to it needlessly.
    return found.is_by_account >= theirs.is_by_account and all(
        getattr(found, name) == getattr(theirs, name) for name in names
    )


def regions() -> list[str]:
    session = botocore.session.Session()
    return sorted(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("dynamodb", partition, allow_non_regional=True)
    )


def test_every_region_is_where_botocore_says_or_left_to_it(bare: pytest.MonkeyPatch) -> None:
    taken = []
    for region in [*regions(), "aws-global", "aws-cn-global", "us-nowhere-7", "eu-9", "cn-x-1", "x", "mx-central-1"]:
        for url in (None, "http://localhost:8000"):
            settings = config(url, region_name=region)
            found = plainly(settings)
            assert found is None or are_same(found, through_botocore(settings)), region
            taken += [region] * (found is not None)
    assert {"us-east-1", "ap-southeast-4", "cn-north-1", "us-gov-west-1"} <= set(taken)
    assert not {"local", "us-east-1-fips", "aws-global", "us-iso-east-1"} & set(taken)


@pytest.mark.parametrize(
    ("url", "is_plain"),
    [
        ("http://localhost", True),
        ("http://LocalHost:8000/", True),
        ("http://127.0.0.1:65535/a/b", True),
        ("https://dynamo.test", True),
        ("https://vpce-1-2.dynamodb.us-east-1.vpce.amazonaws.com", True),
        ("https://dynamodb.us-east-1.amazonaws.com", False),
        ("https://dynamodb.us-east-1.api.aws", False),
        ("http://under_score:8000", False),
        ("http://[::1]:8000", False),
        ("http://dynamo.test.:8000", False),
        ("http://-dynamo.test", False),
        ("http://dynamo.test/a%20b", False),
        ("http://dynamo.test/a/../b", False),
        ("http://dynamo.test?x=1", False),
        ("HTTP://dynamo.test", False),
        ("embedded://plain", False),
    ],
)
def test_every_url_is_where_botocore_says_or_left_to_it(bare: pytest.MonkeyPatch, url: str, is_plain: bool) -> None:
    settings = config(url)
    found = plainly(settings)
    assert (found is not None) is is_plain
    assert found is None or are_same(found, through_botocore(settings))


def variables() -> set[str]:
    """What botocore reads: the variables of its sessions, and those that its modules name."""
    read: set[str] = set()
    for _, names, _, _ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        read.update(names if isinstance(names, list) else [names] if names else [])
    others = """
        AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION
        AWS_ACCOUNT_ID AWS_CREDENTIAL_FILE BOTO_CONFIG AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
        AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
        AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME AWS_EC2_METADATA_DISABLED AWS_EXECUTION_ENV
        AWS_BEARER_TOKEN_BEDROCK AWS_BEARER_TOKEN_DYNAMODB AWS_ENDPOINT_URL AWS_ENDPOINT_URL_DYNAMODB
        BOTOCORE_EXPERIMENTAL__PLUGINS BOTO_DISABLE_COMMONNAME AWS_LAMBDA_FUNCTION_NAME _X_AMZN_TRACE_ID AWS_REGION
        HTTP_PROXY HTTPS_PROXY https_proxy ALL_PROXY NO_PROXY no_proxy REQUESTS_CA_BUNDLE AWS_XRAY_DAEMON_ADDRESS
    """
    return {str(name) for name in read} | set(others.split())


VALUES = ("", "true", "1", "x", "http://elsewhere:1", "us-west-2", "required", "/nowhere/file")


@pytest.mark.parametrize("url", [None, "http://dynamo.test:8000"])
@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_changes_nothing_or_is_left_to_botocore(
    bare: pytest.MonkeyPatch, name: str, url: str | None
) -> None:
    for value in VALUES:
        bare.setenv(name, value)
        settings = config(url, aws_session_token="TOKEN")
        found = plainly(settings)
        if found is None:
            continue
        session = clients.new_session(settings)
        client: Any = clients.new_lane_client(session, settings)
        assert are_same(found, place_of(client)), value
        theirs, ours = client._request_signer._credentials.get_frozen_credentials(), plain_keys(settings)
        assert (ours.access_key, ours.secret_key, ours.token) == theirs[:3], value
        assert len(theirs) == 3 or theirs.account_id is None


def test_the_variables_of_a_lambda_function_need_no_botocore(bare: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_EXECUTION_ENV"):
        bare.setenv(name, "x")
    for name in ("FUNCTION_NAME", "FUNCTION_MEMORY_SIZE", "RUNTIME_API", "LOG_GROUP_NAME", "INITIALIZATION_TYPE"):
        bare.setenv(f"AWS_LAMBDA_{name}", "x")
    for name in ("AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS"):
        bare.setenv(name, "x")
    bare.setenv("AWS_REGION", "eu-west-1")
    bare.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = plainly(DynamoDBConfig())
    assert found is not None
    assert (found.host, found.region) == ("dynamodb.eu-west-1.amazonaws.com", "eu-west-1")


@pytest.mark.parametrize("file", ["config", "credentials"])
def test_a_file_with_settings_is_botocores(bare: pytest.MonkeyPatch, tmp_path: Path, file: str) -> None:
    assert plainly(config(None)) is not None
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / file).write_text("[default]\nendpoint_url = http://elsewhere\n")
    assert plainly(config(None)) is None
    bare.setenv("AWS_CONFIG_FILE" if file == "config" else "AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert plainly(config(None)) is not None
    (folder / file).rename(tmp_path / file)
    bare.setenv("AWS_CONFIG_FILE", f"$HOME/{file}")
    assert plainly(config(None)) is None


def test_models_of_the_users_own_are_botocores(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".aws" / "models").mkdir(parents=True)
    assert plainly(config(None)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"aws_access_key_id": None, "aws_secret_access_key": None},
        {"profile_name": "work"},
        {"region_name": None},
    ],
)
def test_what_the_configuration_leaves_open_is_botocores(bare: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    assert plainly(config(None, **options)) is None


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_systems_that_have_proxies_elsewhere(bare: pytest.MonkeyPatch, platform: str) -> None:
    bare.setattr(sys, "platform", platform)
    assert plainly(config(None)) is None


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_an_empty_bundle_is_botocores(bare: pytest.MonkeyPatch, name: str) -> None:
    bare.setenv(name, "")
    assert plainly(config("http://dynamo.test")) is None


def test_certificates_without_certifi(bare: pytest.MonkeyPatch) -> None:
    from botocore.httpsession import DEFAULT_CA_BUNDLE

    bare.setitem(sys.modules, "certifi", None)
    found = plainly(config(None))
    assert found is not None
    assert found.ca_bundle == DEFAULT_CA_BUNDLE


# --- who listens, in processes of their own ---------------------------------------------------------------------------

BEGIN = """
import os, sys
from pydantic import BaseModel
from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig

class Thing(BaseModel):
    p: str

class Things(BaseDynamoRepository[Thing]):
    table_name = "t"
    primary_key = "p"

things = Things(DynamoDBConfig(environment="prod", max_pool_connections=3))
lane = things._connection._direct

def loaded():
    return sorted({"boto3", "botocore", "moto"} & set(sys.modules))
"""


def in_a_new_process(code: str, url: str | None, home: Path) -> Any:
    environment = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_REGION": "us-east-1",
        **({} if url is None else {"DYNAMODB_ENDPOINT_URL": url}),
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}\n{code}\nimport json\nprint(json.dumps(shown))"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_first_answer_needs_no_botocore(server: Recorder, tmp_path: Path) -> None:
    assert in_a_new_process("shown = [things.get('x').p, loaded()]", server.url, tmp_path) == ["x", []]
    assert is_direct(server.requests[0])


def test_a_mock_that_starts_later(server: Recorder, tmp_path: Path) -> None:
    code = """
before = [things._connection._routes.why_not_direct("GetItem"), loaded()]
from moto import mock_aws
asleep = things._connection._routes.why_not_direct("GetItem"), things._connection._open is None
with mock_aws():
    things.ensure_table()
    things.create(Thing(p="x"))
    mocked = [things.get("x").p, things._connection._routes.why_not_direct("GetItem")]
shown = [before, asleep, mocked, things._connection._routes.why_not_direct("GetItem")]
"""
    assert in_a_new_process(code, None, tmp_path) == [
        [None, []],
        [None, True],
        ["x", "moto is mocking botocore"],
        None,
    ]


def test_a_mock_that_is_there_first(tmp_path: Path) -> None:
    code = """
from moto import mock_aws
with mock_aws():
    things.ensure_table()
    things.create(Thing(p="x"))
    shown = things.get("x").p
"""
    assert in_a_new_process(code, None, tmp_path) == "x"


WRAPPERS = {
    "_make_api_call": """
import botocore.client
class Wrapper:  # as wrapt's: it says that it equals what it wraps
    def __init__(self, wrapped):
        self.__wrapped__ = wrapped
    def __eq__(self, other):
        return self.__wrapped__ == other
    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)
    def __get__(self, instance, owner):
        return Wrapper(self.__wrapped__.__get__(instance, owner))
    def __call__(self, operation, params):
        calls.append(operation)
        return self.__wrapped__(operation, params)
botocore.client.BaseClient._make_api_call = Wrapper(botocore.client.BaseClient._make_api_call)
""",
    "__init__": """
import botocore.client
made = botocore.client.BaseClient.__init__
def init(self, *arguments, **options):
    made(self, *arguments, **options)
    self.meta.events.register("request-created", lambda **_: calls.append("GetItem"))
botocore.client.BaseClient.__init__ = init
""",
    "create_client": """
import botocore.session
make = botocore.session.Session.create_client
def create_client(self, *arguments, **options):
    client = make(self, *arguments, **options)
    client.meta.events.register("before-send.dynamodb", lambda **_: calls.append("GetItem"))
    return client
botocore.session.Session.create_client = create_client
""",
    "handlers of every client": """
import botocore.handlers, botocore.client
botocore.handlers.BUILTIN_HANDLERS.append(("before-send.dynamodb", lambda **_: calls.append("GetItem")))
""",
    "handlers, without loading clients": """
import botocore.handlers
botocore.handlers.BUILTIN_HANDLERS.append(("before-send.dynamodb", lambda **_: calls.append("GetItem")))
""",
    "initializers of sessions": """
import botocore
botocore.register_initializer(
    lambda session: session.register("before-send.dynamodb", lambda **_: calls.append("GetItem"))
)
""",
    "an import hook": """
import importlib.util, sys
class Hook:  # as tracers have them, which wait for botocore
    def find_spec(self, name, path=None, target=None):
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            send = module.BaseClient._make_api_call
            def traced(client, operation, params):
                calls.append(operation)
                return send(client, operation, params)
            module.BaseClient._make_api_call = traced
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Hook())
""",
    "handlers that were there": """
import botocore.handlers, botocore.client
botocore.handlers.BUILTIN_HANDLERS[0] = ("before-send.dynamodb", lambda **_: calls.append("GetItem"))
""",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("is_first", [True, False])
def test_who_wraps_or_registers_gets_the_calls(server: Recorder, tmp_path: Path, wrapper: str, is_first: bool) -> None:
    code = f"""
calls = []
{"" if is_first else 'things.get("x")'}
{WRAPPERS[wrapper]}
shown = [[things.get("x").p for _ in range(2)], calls]
"""
    assert in_a_new_process(code, server.url, tmp_path) == [["x", "x"], ["GetItem", "GetItem"]]
    assert [is_direct(recorded) for recorded in server.requests] == [True] * (not is_first) + [False, False]


def test_botocore_for_something_else_is_not_in_the_way(server: Recorder, tmp_path: Path) -> None:
    code = """
things.get("x")
import boto3
s3 = boto3.client("s3")
s3.meta.events.register("before-send.dynamodb", lambda **_: 1 / 0)
shown = [things.get("x").p, things._connection._open is None]
"""
    assert in_a_new_process(code, server.url, tmp_path) == ["x", True]
    assert all(is_direct(recorded) for recorded in server.requests)


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_powertools_that_only_name_themselves_are_not_in_the_way(
    server: Recorder, tmp_path: Path, is_first: bool
) -> None:
    pytest.importorskip("aws_lambda_powertools")
    code = f"""
first = {is_first} or things.get("x")
from aws_lambda_powertools import Logger
answered = things.get("x").p
without_a_client = things._connection._routes.why_not_direct("GetItem"), things._connection._open is None
table = things.table  # a client, and with it their handler
shown = [answered, *without_a_client, things.get("x").p, things._connection._routes.why_not_direct("GetItem")]
"""
    assert in_a_new_process(code, server.url, tmp_path) == ["x", None, True, "x", None]
    assert all(map(is_direct, server.requests))


def test_signatures_that_nobody_wants(server: Recorder, tmp_path: Path) -> None:
    code = """
import botocore.handlers, botocore.client
botocore.handlers.BUILTIN_HANDLERS.append(("choose-signer.dynamodb.*", botocore.handlers.disable_signing))
shown = things.get("x").p
"""
    assert in_a_new_process(code, server.url, tmp_path) == "x"
    assert "Authorization" not in server.requests[0][0]


def test_the_connections_stay_when_there_is_a_client(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    send(connection)
    before = pool_of(connection)
    assert connection._open is None
    assert connection.client is not None
    assert pool_of(connection) is before
    listened: list[str] = []
    connection.client.meta.events.register("before-send", lambda **_: listened.append("sent"))
    send(connection)
    assert listened == ["sent"]
    assert [is_direct(recorded) for recorded in server.requests] == [True, False]


def test_a_session_in_users_hands_decides(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection, seen = connect(server.url), list[str]()
    connection.boto3_session.events.register("before-send.dynamodb", lambda **_: seen.append("sent"))
    send(connection)
    assert seen == ["sent"]


def test_a_closed_connection_stays_closed(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    send(connection)
    connection.close()
    with pytest.raises(ConnectionError, match="this connection is closed"):
        send(connection)


def test_the_environment_is_read_again_after_a_reset(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    send(connection)
    bare.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    send(connection)
    reset_connection()
    assert connection._routes._found_plainly() is None


# --- warming up -------------------------------------------------------------------------------------------------------


class Thing(BaseModel):
    p: str


class Things(BaseDynamoRepository[Thing]):
    table_name = "t"
    primary_key = "p"


class AsyncThings(AsyncBaseDynamoRepository[Thing]):
    table_name = "t"
    primary_key = "p"


def test_warming_up_opens_connections_and_sends_nothing(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    things = Things(config(server.url, max_pool_connections=4))
    things.warm_up(connections=3)
    pool = pool_of(things._connection)
    opened = {stream._socket.getsockname() for stream in pool._idle}
    assert len(opened) == 3
    assert server.requests == []
    assert "_one_pass" in vars(things._entity.codec)
    things.warm_up(connections=3)
    assert things.get("x") == Thing(p="x")
    assert {stream._socket.getsockname() for stream in pool._idle} == opened
    things.warm_up(connections=4)
    assert (len(pool._idle), pool._open) == (4, 4)


def test_warming_up_on_an_event_loop(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    things = AsyncThings(config(server.url))

    async def main() -> Thing | None:
        await things.warm_up(connections=2)
        assert server.requests == []
        found = await things.get("x")
        await things.aclose()
        return found

    assert asyncio.run(main()) == Thing(p="x")


@pytest.mark.parametrize("lane", ["direct", "botocore"])
def test_warming_up_without_credentials(bare: pytest.MonkeyPatch, lane: str) -> None:
    bare.setenv("AWS_EC2_METADATA_DISABLED", "true")
    connection = connect("http://127.0.0.1:9", aws_access_key_id=None, aws_secret_access_key=None, transport=lane)
    with pytest.raises(CredentialsError):
        connection.warm_up()


def test_warming_up_where_nobody_listens(bare: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionError, match="could not be reached"):
        connect(f"http://127.0.0.1:{port}").warm_up()


def test_warming_up_in_time(bare: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"  # which never shakes hands
        with in_time(), pytest.raises(DeadlineExceededError):
            connect(url).warm_up(timeout_seconds=0.3)


@pytest.mark.parametrize("options", [{"connections": 0}, {"connections": 51}, {"connections": True}])
def test_how_many_connections(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"connections is .*: must be a whole number from 1 to 50"):
        connect("http://127.0.0.1:9").warm_up(**options)
    with pytest.raises(ValidationError, match="timeout_seconds"):
        connect("http://127.0.0.1:9").warm_up(timeout_seconds=0)


def test_warming_up_through_botocore_makes_the_client(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection = connect(server.url, transport="botocore")
    connection.warm_up()
    assert connection._open is not None
    assert connection._open.client is not None
    assert server.requests == []


# --- to see which lane it is ------------------------------------------------------------------------------------------


def report(connection: Connection, server: Recorder) -> tuple[str | None, str | None]:
    server.answers = [http({"TableNames": []})]
    found = connection.health_report()
    assert found.healthy
    assert found.as_dict()["transport"] == found.transport
    server.answers = [http(ITEM)]
    return found.transport, found.why_botocore


def test_a_report_of_health_says_which_lane_it_is(server: Recorder) -> None:
    assert report(connect(server.url), server) == ("direct", None)
    assert report(connect(server.url, transport="auto"), server) == ("direct", None)
    reason = 'transport is "botocore" in the configuration'
    assert report(connect(server.url, transport="botocore"), server) == ("botocore", reason)


@pytest.mark.parametrize(("lane", "level"), [("auto", logging.INFO), ("direct", logging.WARNING)])
def test_why_it_is_botocore(server: Recorder, caplog: pytest.LogCaptureFixture, lane: str, level: int) -> None:
    caplog.set_level(logging.INFO, "dynamodb_wrapper.transport")
    connection = connect(server.url, transport=lane)

    def listener(**_: object) -> None: ...

    send(connection)
    connection.client.meta.events.register("before-send.dynamodb", listener)
    for _ in range(3):
        send(connection)
    transport, why = report(connection, server)
    assert transport == "botocore"
    assert why is not None
    assert "listener is registered for botocore's event before-send" in why
    told = [record for record in caplog.records if "go through botocore" in record.getMessage()]
    assert [(record.levelno, why in record.getMessage()) for record in told] == [(level, True)]
    assert server.url in told[0].getMessage()
    connection.client.meta.events.unregister("before-send.dynamodb", listener)
    assert report(connection, server) == ("direct", None)


def test_a_report_on_a_server_that_is_not_there() -> None:
    found = connect("http://127.0.0.1:9", aws_access_key_id=None, aws_secret_access_key=None, profile_name="nope")
    seen = found.health_report(timeout_seconds=1)
    assert not seen.healthy
    assert seen.transport == "botocore"
    assert "not known yet" in str(seen.why_botocore)


def test_the_first_call_within_a_time_limit_starts_no_thread(server: Recorder, bare: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    assert connection._lane.send(GET, 5.0)["Item"] == ITEM["Item"]
    assert connection._open is None
