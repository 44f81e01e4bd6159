"""The command line in this process, over a real server: what it answers, how it ends, and what it makes of mistakes."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("typer")

from dynamodb_wrapper import (
    AccessDeniedError,
    ConditionFailedError,
    ConnectionError,
    CredentialsError,
    DynamoDBConfig,
    DynamoDBWrapperError,
    ItemNotFoundError,
    PipelineRunLogsRepository,
    TableInUseError,
    TableNotFoundError,
    ThrottlingError,
    ValidationError,
    __version__,
)
from dynamodb_wrapper.cli import failures, main, output
from dynamodb_wrapper.cli.checkpoints import CheckpointFile
from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.transport import drop_embedded, reset_connection
from tests.integration.cli_shop import MONDAY, Address, Order, Orders, Readings, Status, Tickets, add_notes
from tests.integration.command_line import ROOT, SHOP, CommandLine
from tests.servers import RunningServer, Server


@pytest.fixture
def server(moto_server: RunningServer) -> Iterator[Server]:
    server = Server(moto_server)
    yield server
    server.clean_up()


@pytest.fixture
def config(server: Server) -> DynamoDBConfig:
    return server.config(environment="prod")


@pytest.fixture
def cli(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> CommandLine:
    """The command line, in an empty directory, with an environment that points at the server."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    settings = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DYNAMODB_ENDPOINT_URL": server.endpoint_url or "",
        "DYNAMODB_TABLE_PREFIX": server.table_prefix,
        "DYNAMODB_ENVIRONMENT": "prod",
        "COLUMNS": "400",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return CommandLine(capsys)


def order(number: int, **fields: Any) -> Order:
    return Order(**{"customer_id": "c1", "number": number, **fields})


@pytest.fixture
def orders(config: DynamoDBConfig) -> Orders:
    """A table with orders, to do anything with."""
    return filled(Orders(config))


@pytest.fixture(scope="module")
def shared_server(moto_server: RunningServer) -> Iterator[Server]:
    """Tables that tests only read."""
    server = Server(moto_server)
    filled(Orders(server.config(environment="prod")))
    with_runs(PipelineRunLogsRepository(server.config(environment="prod")))
    yield server
    server.clean_up()


@pytest.fixture
def reading(cli: CommandLine, shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line over these."""
    monkeypatch.setenv("DYNAMODB_TABLE_PREFIX", shared_server.table_prefix)
    return cli


def filled(orders: Orders) -> Orders:
    """Five orders of one customer: numbers -1 to 3, every second one paid, an hour between them; and an odd one."""
    orders.ensure_table()
    for number in range(-1, 4):
        orders.put(
            order(
                number,
                status=Status.PAID if number % 2 else Status.OPEN,
                total=Decimal("12.30") * (number + 1),
                placed_at=MONDAY + timedelta(hours=number),
            )
        )
    orders.put(
        order(
            9,
            tags={"b", "a"},
            total=Decimal("98765432109876543210.01"),
            photo=b"\xff\x00",
            address=Address(city="Bath"),
            note="\x1b[31mred\nline",
        )
    )
    return orders


def with_runs(logs: PipelineRunLogsRepository) -> None:
    logs.ensure_table()
    start = datetime.now(UTC) - timedelta(hours=1)
    logs.create_run_log("r1", "p1", "manual", start_time=start)
    logs.add_stage_info("r1", {"stage_name": "load", "status": "running", "start_time": start})
    logs.add_log_messages("r1", ["begun", {"rows": 3}])
    logs.update_run_status("r1", "failed", "no\x1b[2J space")
    logs.create_run_log("r2", "p2", "manual", start_time=start + timedelta(minutes=1))
    logs.update_run_status("r2", "success")
    logs.create_run_log("r0", "p1", "manual", start_time=start - timedelta(days=3))


# --- options of all commands -----------------------------------------------------------------------------------------


def settings(answer: Any) -> dict[str, tuple[Any, str]]:
    assert answer.code == ExitCode.OK, answer.err
    return {line["setting"]: (line["value"], line["source"]) for line in answer.lines}


def test_the_script_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    script = EntryPoint("dynamodb-wrapper", project["scripts"]["dynamodb-wrapper"], "console_scripts")
    assert script.load() is main


def test_without_a_command_it_says_what_there_is(cli: CommandLine) -> None:
    answer = cli()
    assert answer.code == ExitCode.OK
    assert "tables" in answer.out
    assert cli("--version").out == f"{__version__}\n"


def test_the_configuration_is_shown_with_where_it_comes_from(cli: CommandLine, server: Server) -> None:
    shown = settings(cli("config", "show", "--json"))
    assert shown["endpoint_url"] == (server.endpoint_url, "DYNAMODB_ENDPOINT_URL")
    assert shown["region_name"] == ("us-east-1", "AWS_REGION")
    assert shown["retries"] == (3, "default")
    assert shown["aws_access_key_id"] == ("**********", "AWS_ACCESS_KEY_ID")
    assert shown["aws_secret_access_key"] == ("**********", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_options_are_stronger_than_the_environment_wherever_they_stand(cli: CommandLine, place: int) -> None:
    options = ["--region", "eu-west-1", "--endpoint", "http://other:1", "--timezone", "Asia/Tokyo", "--json"]
    command = ["config", "show"]
    shown = settings(cli(*command[:place], *options, *command[place:]))
    assert shown["region_name"] == ("eu-west-1", "--region")
    assert shown["endpoint_url"] == ("http://other:1", "--endpoint")
    assert shown["user_timezone"] == ("Asia/Tokyo", "--timezone")


def test_the_option_nearer_to_the_arguments_counts(cli: CommandLine) -> None:
    outer = ("--region", "eu-west-1", "config", "--region", "eu-west-2", "show", "--json")
    assert settings(cli(*outer))["region_name"] == ("eu-west-2", "--region")
    assert settings(cli(*outer, "--region", "eu-west-3"))["region_name"] == ("eu-west-3", "--region")


def test_a_profile_takes_the_place_of_the_environments_credentials(cli: CommandLine) -> None:
    shown = settings(cli("config", "show", "--profile", "work", "--json"))
    assert shown["profile_name"] == ("work", "--profile")
    assert shown["aws_access_key_id"] == (None, "default")


def test_embedded_takes_the_place_of_endpoint_and_credentials(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    shown = settings(cli("config", "show", "--embedded", "--region", "eu-west-1", "--json"))
    assert shown["endpoint_url"] == ("embedded://cli", "--embedded")
    assert shown["profile_name"] == (None, "--embedded")
    assert shown["region_name"] == ("eu-west-1", "--region")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_is_shown(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, form: list[str]) -> None:
    monkeypatch.setenv(name, "very-secret")
    answer = cli("config", "show", *form)
    assert answer.code == ExitCode.OK
    assert "very-secret" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timezone", "Mars"], "Mars"),
        (["--endpoint", "localhost:8000"], "must be http://"),
        (["--endpoint", "http://user:pass@host"], "endpoint_url"),
        (["--region", "eu west"], "region"),
        (["--profile", ""], "profile_name"),
        (["--embedded", "--endpoint", "http://host"], "--endpoint cannot be given with it"),
        (["--embedded", "--profile", "work"], "--profile cannot be given with it"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_options_are_refused(cli: CommandLine, options: list[str], said: str) -> None:
    answer = cli("tables", "list", *options)
    assert answer.code == ExitCode.USAGE
    assert said in answer.err
    assert answer.out == ""
    assert "user:pass" not in answer.err


def test_a_wrong_environment_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_MAX_RETRIES", "many")
    answer = cli("tables", "list")
    assert answer.code == ExitCode.USAGE
    assert "DYNAMODB_MAX_RETRIES" in answer.err


# --- repositories by name --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Orders", "module:Class"),
        ("", "module:Class"),
        (":Orders", "module:Class"),
        ("shop:", "module:Class"),
        ("os;x:Orders", "module:Class"),
        ("../shop:Orders", "module:Class"),
        ("no_such_module:Orders", "there is no module 'no_such_module'"),
        ("tests.integration.nowhere:Orders", "there is no module 'tests.integration.nowhere'"),
        ("cli_shop.py:Orders", "name the module, not the file: cli_shop"),
        (f"{SHOP}:Nothing", "AsyncOrders"),
        (f"{SHOP}:Order", "is no repository class"),
        (f"{SHOP}:orders", "an instance, not a class"),
        (f"{SHOP}:AsyncNeedsNothing", "is no repository class"),
        (f"{SHOP}:NeedsMore", "cannot be made from a configuration alone"),
        ("dynamodb_wrapper:BaseDynamoRepository", "is no repository class"),
    ],
)
def test_what_is_no_repository_is_refused(cli: CommandLine, name: str, said: str) -> None:
    answer = cli("scan", name)
    assert answer.code == ExitCode.USAGE
    assert said in answer.err
    assert answer.out == ""


FAILING_MODULES = {
    "raise ValueError('not today')": "ValueError: not today (name.py, line 1)",
    "def f(": "SyntaxError",
    "import nothing_like_that": "needs 'nothing_like_that', which is not installed",
    "raise SystemExit(0)": "SystemExit",
    "from dynamodb_wrapper import BaseDynamoRepository\n"
    "from pydantic import BaseModel\n"
    "class M(BaseModel):\n    a: str\n"
    "class R(BaseDynamoRepository[M]):\n    table_name = 'r'\n    primary_key = 'b'\n": "'b', which is no field of M",
}


@pytest.mark.parametrize("text", FAILING_MODULES)
def test_a_module_that_fails_is_told_in_one_line(cli: CommandLine, tmp_path: Path, text: str) -> None:
    name = f"failing_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(text)
    answer = cli("scan", f"{name}:R")
    assert answer.code == ExitCode.USAGE
    assert FAILING_MODULES[text].replace("name.py", f"{name}.py") in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_module_in_the_current_directory_is_found(cli: CommandLine, tmp_path: Path) -> None:
    name = f"here_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(f"from {SHOP} import Orders\nclass Inner:\n    Mine = Orders\n")
    assert cli("tables", "create", f"{name}:Inner.Mine").code == ExitCode.OK


@pytest.mark.parametrize("name", ["AsyncOrders", "AsyncOrdersOfAConfiguration"])
def test_an_async_repository_is_used_as_it_is_declared(reading: CommandLine, name: str) -> None:
    assert reading("tables", "diff", f"{SHOP}:{name}").code == ExitCode.OK
    answer = reading("query", f"{SHOP}:{name}", "open", "--index", "by_status", "--json")
    assert sorted(line["number"] for line in answer.lines) == [0, 2, 9]


def test_an_async_repository_of_the_library_is_its_sync_one(reading: CommandLine) -> None:
    answer = reading("scan", "dynamodb_wrapper:AsyncPipelineRunLogsRepository", "--json")
    assert sorted(line["run_id"] for line in answer.lines) == ["r0", "r1", "r2"]
    assert reading("tables", "diff", "dynamodb_wrapper:AsyncPipelineRunLogsRepository").code == ExitCode.OK


def test_an_async_repository_is_migrated_by_its_own_upcasters(cli: CommandLine, config: DynamoDBConfig) -> None:
    notes = add_notes(config, 3)
    assert cli("migrate", f"{SHOP}:AsyncNotes", "--yes", "--json").lines[0]["rewritten"] == 3
    assert notes.get_or_raise("n1").length == 2


def test_a_module_may_fill_the_embedded_server(cli: CommandLine, tmp_path: Path) -> None:
    name = f"filled_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(
        f"from {SHOP} import Order, Orders\n"
        "from dynamodb_wrapper import DynamoDBConfig\n"
        "orders = Orders(DynamoDBConfig.embedded('cli'))\n"
        "orders.ensure_table()\n"
        "orders.put(Order(customer_id='c1', number=7))\n"
    )
    answer = cli("scan", f"{name}:Orders", "--embedded", "--json")
    reset_connection()
    drop_embedded("cli")
    assert [line["number"] for line in answer.lines] == [7]


# --- health ----------------------------------------------------------------------------------------------------------


def test_health_of_a_server_that_answers(cli: CommandLine, orders: Orders) -> None:
    (report,) = cli("health", "--table", "orders", "--json", "--timezone", "Asia/Tokyo").lines
    assert (report["healthy"], report["table_name"], report["table_status"]) == (True, orders.table_name, "ACTIVE")
    assert report["checked_at"].endswith("+09:00")
    (report,) = cli("health", "--table", f"{SHOP}:Orders", "--json").lines
    assert report["table_name"] == orders.table_name
    assert "healthy" in cli("health").out


@pytest.mark.parametrize(
    ("options", "said"), [(["--table", "nothing"], "missing"), (["--endpoint", "http://127.0.0.1:9"], "not be reached")]
)
def test_what_is_not_healthy_ends_with_1(cli: CommandLine, options: list[str], said: str) -> None:
    answer = cli("health", *options)
    assert answer.code == ExitCode.NO
    assert said in answer.out


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_is_created_once_and_listed(cli: CommandLine, server: Server) -> None:
    name = f"{server.table_prefix}_orders"
    created = cli("tables", "create", f"{SHOP}:Orders", f"{SHOP}:Tickets", "--json")
    assert created.code == ExitCode.OK
    assert created.lines == [
        {"table_name": name, "made": True},
        {"table_name": f"{server.table_prefix}_tickets", "made": True},
    ]
    assert cli("tables", "create", f"{SHOP}:Orders", "--json").lines == [{"table_name": name, "made": False}]
    assert cli("tables", "list", "--prefix", name).out == f"{name}\n"
    (details,) = cli("tables", "list", "--prefix", name, "--details", "--json").lines
    assert details["indexes"] == ["status-index", "keys-index"]
    assert details["billing"] == "PAY_PER_REQUEST"


def test_a_table_as_declared_has_no_differences(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "diff", f"{SHOP}:Orders")
    assert (answer.code, answer.out) == (ExitCode.OK, "")
    assert answer.err.endswith("as declared\n")


def test_differences_end_with_1(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "diff", f"{SHOP}:MoreOrders", f"{SHOP}:FewerOrders", "--json")
    assert answer.code == ExitCode.NO
    assert [(line["what"], line["safe"], line["needs"]) for line in answer.lines] == [
        ("index total-index", True, None),
        ("index keys-index", False, "--delete-indexes"),
    ]
    assert "index total-index" in cli("tables", "diff", f"{SHOP}:MoreOrders").out


def test_nothing_is_changed_unasked(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "apply", f"{SHOP}:MoreOrders")
    assert answer.code == ExitCode.USAGE
    assert "index total-index" in answer.err
    assert "--yes" in answer.err
    assert cli("tables", "diff", f"{SHOP}:Orders").code == ExitCode.OK


def test_a_table_is_changed_with_yes(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "apply", f"{SHOP}:MoreOrders", "--yes", "--json")
    assert answer.code == ExitCode.OK
    assert [line["what"] for line in answer.lines] == ["index total-index"]
    assert cli("tables", "apply", f"{SHOP}:MoreOrders").code == ExitCode.OK


def test_an_index_is_deleted_only_when_that_is_said_too(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "apply", f"{SHOP}:FewerOrders", "--yes")
    assert answer.code == ExitCode.NO
    assert "--delete-indexes" in answer.err
    assert cli("tables", "apply", f"{SHOP}:FewerOrders", "--yes", "--delete-indexes").code == ExitCode.OK
    assert cli("tables", "diff", f"{SHOP}:FewerOrders").code == ExitCode.OK


def test_what_is_skipped_is_left(cli: CommandLine, orders: Orders) -> None:
    assert cli("tables", "apply", f"{SHOP}:MoreOrders", "--yes", "--skip", "indexes").code == ExitCode.NO
    assert "one of table, key" in cli("tables", "apply", f"{SHOP}:MoreOrders", "--yes", "--skip", "index").err
    assert cli("tables", "diff", f"{SHOP}:Orders").code == ExitCode.OK


def test_a_table_with_another_key_is_left_alone(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "apply", f"{SHOP}:OtherOrders", "--yes")
    assert answer.code == ExitCode.NO
    assert "to be changed" not in answer.err


def test_a_table_is_deleted_only_with_yes(cli: CommandLine, orders: Orders) -> None:
    asked = cli("tables", "delete", orders.table_name)
    assert asked.code == ExitCode.USAGE
    assert re.search(r"orders \(about \d+ items", asked.err)
    assert orders.count() == 6
    done = cli("tables", "delete", f"{SHOP}:Orders", orders.table_name, "--yes", "--json")
    assert (done.code, done.lines) == (ExitCode.OK, [{"table_name": orders.table_name, "deleted": True}])
    assert orders.table_status() is None


def test_all_tables_of_a_repository_are_deleted(cli: CommandLine, server: Server) -> None:
    logs = "dynamodb_wrapper:PipelineRunLogsRepository"
    assert cli("tables", "create", logs).code == ExitCode.OK
    deleted = [line["table_name"] for line in cli("tables", "delete", logs, "--yes", "--json").lines]
    assert deleted == [f"{server.table_prefix}_pipeline_run_{name}" for name in ("logs", "events")]
    assert cli("tables", "list", "--prefix", server.table_prefix).out == ""


def test_no_table_is_deleted_when_one_does_not_exist(cli: CommandLine, orders: Orders) -> None:
    answer = cli("tables", "delete", orders.table_name, "nothing-there", "--yes")
    assert answer.code == ExitCode.NOT_FOUND
    assert "nothing-there" in answer.err
    assert orders.table_status() == "ACTIVE"


# --- items -----------------------------------------------------------------------------------------------------------


def test_get_types_the_key_and_shows_values_faithfully(reading: CommandLine) -> None:
    (line,) = reading("get", f"{SHOP}:Orders", "c1", "9", "--json", "--timezone", "Asia/Tokyo").lines
    assert line == {
        "customer_id": "c1",
        "number": 9,
        "status": "open",
        "total": "98765432109876543210.01",
        "placed_at": "2026-11-02T18:30:00+09:00",
        "tags": ["a", "b"],
        "photo": "/wA=",
        "address": {"city": "Bath"},
        "note": "\x1b[31mred\nline",
    }


def test_what_is_shown_to_people_cannot_steer_their_terminal(reading: CommandLine) -> None:
    for answer in (reading("get", f"{SHOP}:Orders", "c1", "9"), reading("scan", f"{SHOP}:Orders")):
        assert "\x1b" not in answer.out
        assert "\\x1b[31mred line" in answer.out


def test_get_of_nothing_ends_with_3(reading: CommandLine) -> None:
    for options in ([], ["--raw"], ["--attributes", "total"]):
        answer = reading("get", f"{SHOP}:Orders", "c1", "99", *options)
        assert (answer.code, answer.out) == (ExitCode.NOT_FOUND, "")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (["c1"], "customer_id and number: 2 value(s), not 1"),
        (["c1", "1", "2"], "2 value(s), not 3"),
        (["c1", "one"], "valid integer"),
        (["", "1"], "empty"),
        (["c1", "1.5"], "integer"),
        (["c1", "-1"], "No such option"),
    ],
)
def test_a_wrong_key_is_refused(reading: CommandLine, key: list[str], said: str) -> None:
    answer = reading("get", f"{SHOP}:Orders", *key)
    assert answer.code == ExitCode.USAGE
    assert said in answer.err


def test_a_negative_key_stands_after_two_dashes(reading: CommandLine) -> None:
    (line,) = reading("get", "--json", f"{SHOP}:Orders", "--", "c1", "-1").lines
    assert line["number"] == -1


def test_get_of_some_attributes_and_of_what_is_stored(reading: CommandLine) -> None:
    answer = reading(
        "get", f"{SHOP}:Orders", "c1", "9", "--attributes", "total, address.city", "--consistent", "--json"
    )
    assert answer.lines[0]["total"] == "98765432109876543210.01"
    (raw,) = reading("get", f"{SHOP}:Orders", "c1", "9", "--raw", "--json").lines
    assert raw["placed_at"] == "2026-11-02T09:30:00.000000+00:00"
    assert reading("get", f"{SHOP}:Orders", "c1", "9", "--raw", "--attributes", "total").code == ExitCode.USAGE
    assert reading("get", f"{SHOP}:Orders", "c1", "9", "--attributes", ",").code == ExitCode.USAGE
    assert "no field 'nothing'" in reading("get", f"{SHOP}:Orders", "c1", "9", "--attributes", "nothing").err


def test_keys_that_are_made_of_fields_are_given_by_field(cli: CommandLine, config: DynamoDBConfig) -> None:
    tickets = Tickets(config)
    tickets.ensure_table()
    tickets.put(order(42))
    answer = cli("get", f"{SHOP}:Tickets", "c1", "open", "42", "--json")
    assert [line["number"] for line in answer.lines] == [42]
    assert "customer_id and status and number" in cli("get", f"{SHOP}:Tickets", "c1").err
    assert [line["number"] for line in cli("query", f"{SHOP}:Tickets", "c1", "--eq", "open", "--json").lines] == [42]


def test_keys_that_are_numbers_and_times(cli: CommandLine, config: DynamoDBConfig) -> None:
    readings = Readings(config)
    readings.ensure_table()
    readings.put(readings.model_class(year=2026, taken_at=MONDAY))
    for text in ("2026-11-02T09:30:00Z", "2026-11-02T09:30:00", "2026-11-02T18:30:00+09:00"):
        assert cli("get", f"{SHOP}:Readings", "2026", text).code == ExitCode.OK, text
    answer = cli("query", f"{SHOP}:Readings", "2026", "--ge", "2026-11-02", "--json")
    assert answer.lines == [{"year": 2026, "taken_at": "2026-11-02T09:30:00Z"}]


def numbers(answer: Any) -> list[int]:
    assert answer.code == ExitCode.OK, answer.err
    return [line["number"] for line in answer.lines]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [-1, 0, 1, 2, 3, 9]),
        (["--descending"], [9, 3, 2, 1, 0, -1]),
        (["--eq", "2"], [2]),
        (["--lt", "1"], [-1, 0]),
        (["--le", "1"], [-1, 0, 1]),
        (["--gt", "2"], [3, 9]),
        (["--ge", "2"], [2, 3, 9]),
        (["--between", "0", "2"], [0, 1, 2]),
        (["--limit", "2"], [-1, 0]),
        (["--where", "status=paid"], [-1, 1, 3]),
        (["--where", "status = paid", "--where", "total >= 24.6"], [1, 3]),
        (["--where", "tags*=a"], [9]),
        (["--where", "note"], [9]),
        (["--where", "!note", "--where", "total!=0"], [0, 1, 2, 3]),
        (["--where", "address.city^=Ba"], [9]),
        (["--where", "placed_at<2026-11-02T09:00:00Z"], [-1]),
        (["--where", "tags*=a or status=paid"], [-1, 1, 3, 9]),
        (["--where", "status = paid or note", "--where", "total >= 24.6 or tags*=a or total=1"], [1, 3, 9]),
        (["--where", "address.city='Ba' or address.city^=\"Ba\""], [9]),
        (["--consistent", "--ge", "3"], [3, 9]),
    ],
)
def test_query_of_the_table(reading: CommandLine, options: list[str], expected: list[int]) -> None:
    assert numbers(reading("query", f"{SHOP}:Orders", "c1", "--json", *options)) == expected


@pytest.mark.parametrize("name", ["by_status", "status-index"])
def test_query_of_an_index_by_either_name(reading: CommandLine, name: str) -> None:
    answer = reading("query", f"{SHOP}:Orders", "open", "--index", name, "--ge", "2026-11-02T09:30:00Z", "--json")
    assert sorted(numbers(answer)) == [0, 2, 9]


def test_an_index_of_keys_shows_what_it_carries(reading: CommandLine) -> None:
    answer = reading("query", f"{SHOP}:Orders", "paid", "--index", "keys", "--json")
    assert answer.lines[0] == {"customer_id": "c1", "number": -1, "status": "paid", "total": "0"}
    assert len(reading("scan", f"{SHOP}:Orders", "--index", "keys", "--json").lines) == 6


def test_pages_go_on_at_the_cursor(reading: CommandLine) -> None:
    found: list[int] = []
    cursor: list[str] = []
    for _ in range(4):
        answer = reading("query", f"{SHOP}:Orders", "c1", "--limit", "2", "--json", *cursor)
        found += numbers(answer)
        more = re.search(r"--cursor (\S+)", answer.err)
        if more is None:
            break
        cursor = ["--cursor", more[1]]
    assert found == [-1, 0, 1, 2, 3, 9]
    answer = reading("query", f"{SHOP}:Orders", "c2", "--json", *cursor)
    assert answer.code == ExitCode.USAGE
    assert "another query" in answer.err


def test_a_table_shows_the_key_first_and_no_empty_columns(reading: CommandLine) -> None:
    answer = reading("query", f"{SHOP}:Orders", "open", "--index", "by_status", "--limit", "1")
    assert answer.words[0] == ["status", "placed_at", "customer_id", "number", "total", "tags"]
    assert "--cursor" in answer.err
    assert "no items" in reading("query", f"{SHOP}:Orders", "nobody").err


def test_count_and_explain(reading: CommandLine) -> None:
    assert reading("scan", f"{SHOP}:Orders", "--count", "--json").lines == [{"count": 6}]
    assert reading("query", f"{SHOP}:Orders", "c1", "--gt", "1", "--count").words == [["count", "3"]]
    assert reading("scan", f"{SHOP}:Orders", "--count", "--limit", "2", "--json").lines == [{"count": 2}]
    asked = json.loads(reading("query", f"{SHOP}:Orders", "c9", "--explain", "--where", "total>5").out)
    assert asked["TableName"].endswith("_orders")
    assert {"N": "5"} in asked["ExpressionAttributeValues"].values()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "nothing=1"], "no field 'nothing'"),
        (["--where", ">1"], "is no condition"),
        (["--where", ""], "is no condition"),
        (["--where", "total=>1"], "is never '>1'"),
        (["--where", "total>abc"], "valid decimal"),
        (["--where", "a..b=1"], "is no path"),
        (["--where", "note=call or total>abc"], "valid decimal"),
        (["--where", "status=paid or"], "at its end, is no condition"),
        (["--where", "status=paid or >3"], "at character 16, '>3', is no condition"),
        (["--where", "or status=paid"], "is no condition"),
        (["--where", "!note=1"], "is no condition"),
        (["--where", "note= or status=paid"], "at character 7, 'or status=paid', is no value"),
        (["--where", "note='a' b"], "at character 6, \"'a' b\", is no value"),
        (["--where", "note=a and total>1"], "at character 8, 'and total>1', looks like another condition: repeat"),
        (["--where", "note=a OR total>1"], "have a small 'or' between them"),
        (["--where", "number=1"], "part of the key"),
        (["--where", "total^=1"], "works on text"),
        (["--index", "nothing"], "status-index, keys-index"),
        (["--lt", "1", "--gt", "0"], "no further sort part"),
        (["--eq", "1", "--eq", "2"], "no further sort part"),
        (["--begins-with", "1"], "works on text"),
        (["--limit", "0"], "--limit"),
        (["--between", "1"], "--between"),
        (["--cursor", "abc"], "cursor"),
        (["--attributes", "total,nothing"], "no field 'nothing'"),
        (["--index", "by_status"], "should be 'open' or 'paid'"),
    ],
)
def test_a_wrong_question_is_refused(reading: CommandLine, options: list[str], said: str) -> None:
    answer = reading("query", f"{SHOP}:Orders", "c1", *options)
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")
    assert said in answer.err


def test_a_table_that_does_not_exist_ends_with_3(cli: CommandLine) -> None:
    answer = cli("scan", f"{SHOP}:Orders")
    assert answer.code == ExitCode.NOT_FOUND
    assert "does not exist" in answer.err


def test_describe_asks_nobody(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "global index status-index" in cli("describe", f"{SHOP}:Orders").out
    assert "| by_status |" in cli("describe", f"{SHOP}:Orders", "--markdown").out
    assert cli("describe", f"{SHOP}:Orders", "--json").lines[0]["model"] == "Order"


# --- migrate ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_change_and_writes_nothing(cli: CommandLine, config: DynamoDBConfig) -> None:
    notes = add_notes(config, 5)
    answer = cli("migrate", f"{SHOP}:Notes", "--json")
    assert answer.code == ExitCode.OK
    (report,) = answer.lines
    assert (report["dry_run"], report["rewritten"], report["versions"]) == (True, 5, {"1": 5})
    assert report["examples"][0]["after"] == {"schema_version": 2, "length": 2}
    assert "--yes writes" in cli("migrate", f"{SHOP}:Notes").err
    assert {notes.get_raw(f"n{number}")["schema_version"] for number in range(5)} == {1}  # type: ignore[index]
    assert list(Path.cwd().iterdir()) == []


def test_with_yes_everything_is_rewritten_and_no_checkpoint_is_left(cli: CommandLine, config: DynamoDBConfig) -> None:
    notes = add_notes(config, 5)
    answer = cli("migrate", f"{SHOP}:Notes", "--yes", "--json", "--rate", "1000")
    assert (answer.code, answer.lines[0]["rewritten"]) == (ExitCode.OK, 5)
    assert notes.get_or_raise("n1").length == 2
    assert list(Path.cwd().iterdir()) == []
    assert cli("migrate", f"{SHOP}:Notes", "--yes", "--json").lines[0]["current"] == 5


def test_the_progress_of_a_migration_is_drawn(
    cli: CommandLine, config: DynamoDBConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_notes(config, 3)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "3 items, 3 rewritten, 0 failed" in cli("migrate", f"{SHOP}:Notes", "--yes").err


def test_items_that_cannot_be_migrated_end_with_1(cli: CommandLine, config: DynamoDBConfig) -> None:
    notes = add_notes(config, 3)
    notes.table.put_item(Item={"id": "wrong", "text": "bad", "schema_version": 1})
    answer = cli("migrate", f"{SHOP}:Notes", "--yes")
    assert answer.code == ExitCode.NO
    assert "left alone:" in answer.out
    assert "no length" in answer.out


def test_a_stopped_migration_goes_on_where_it_was(
    cli: CommandLine, config: DynamoDBConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes = add_notes(config, 250)
    scanned = [item["text"] for item in notes.table.scan()["Items"]]
    monkeypatch.setenv("TEST_STOP_AT", scanned[150])
    stopped = cli("migrate", f"{SHOP}:Notes", "--yes", "--segments", "1")
    file = tmp_path / f"{notes.table_name}.migrate.json"
    assert stopped.code == ExitCode.INTERRUPTED
    assert f"noted in {file.name}; the same command with --resume goes on there" in stopped.err
    assert file.exists()

    again = cli("migrate", f"{SHOP}:Notes", "--yes")
    assert again.code == ExitCode.USAGE
    assert "--resume to go on, or --restart" in again.err
    other = cli("migrate", f"{SHOP}:OldNotes", "--yes", "--resume", "--checkpoint", str(file))
    assert other.code == ExitCode.USAGE
    assert "of other work" in other.err

    monkeypatch.delenv("TEST_STOP_AT")
    done = cli("migrate", f"{SHOP}:Notes", "--yes", "--resume", "--segments", "7", "--json")
    (report,) = done.lines
    assert "going on after 100 items" in done.err
    # What was written after the checkpoint is current now, and counted so.
    assert (report["scanned"], sum(report["versions"].values()), report["failed"]) == (250, 250, 0)
    assert report["rewritten"] + report["current"] == 250
    assert notes.count(where=None) == 250
    assert not file.exists()
    assert all(note.length == len(note.text) for note in notes.scan())


def test_restart_begins_anew(cli: CommandLine, config: DynamoDBConfig, tmp_path: Path) -> None:
    notes = add_notes(config, 3)
    file = tmp_path / "there.json"
    work = {"command": "migrate", "table": notes.table_name, "to": 2}
    for state in ({}, {"checkpoint": "x", "segments": 4, "counts": {"scanned": 1}, "noted_at": "2026-11-02T09:30:00Z"}):
        file.write_text(json.dumps({"work": work, "state": state}))
        refused = cli("migrate", f"{SHOP}:Notes", "--yes", "--resume", "--checkpoint", str(file))
        assert refused.code == ExitCode.USAGE
        assert "--restart begins anew" in refused.err
        assert "goes on there" not in refused.err
    both = cli("migrate", f"{SHOP}:Notes", "--yes", "--checkpoint", str(file), "--restart", "--resume")
    assert (both.code, file.exists()) == (ExitCode.USAGE, True)
    done = cli("migrate", f"{SHOP}:Notes", "--yes", "--checkpoint", str(file), "--restart", "--json")
    assert done.lines[0]["rewritten"] == 3
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", '"text"', '{"work": 1, "state": 2}', "\x00"])
def test_a_file_that_is_no_checkpoint_is_left_alone(
    cli: CommandLine, config: DynamoDBConfig, tmp_path: Path, content: str
) -> None:
    add_notes(config, 1)
    file = tmp_path / "mine.json"
    file.write_text(content)
    for more in ([], ["--resume"], ["--restart"]):
        answer = cli("migrate", f"{SHOP}:Notes", "--yes", "--checkpoint", str(file), *more)
        assert answer.code == ExitCode.USAGE
        assert "mine.json" in answer.err
        assert file.read_text() == content


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"offset": 7', '"offset": "7"'),
        ('"offset": 7', '"offset": -7'),
        ('"x"', '"y"'),
        ('"state": {', '"state": {"z": 1, '),
    ],
)
def test_a_checkpoint_that_was_changed_is_not_gone_on_with(tmp_path: Path, written: str, instead: str) -> None:
    checkpoint = CheckpointFile(tmp_path / "there", {"command": "x"})
    checkpoint.write({"offset": 7, "files": [["a", 1]], "rate": 1.5})
    text = checkpoint.path.read_text()
    assert checkpoint.begin(resume=True, restart=False) == {"offset": 7, "files": [["a", 1]], "rate": 1.5}
    checkpoint.path.write_text(text.replace(written, instead))
    assert checkpoint.path.read_text() != text
    with pytest.raises(CommandError, match=r"was changed.* --restart begins anew") as refused:
        checkpoint.begin(resume=True, restart=False)
    assert refused.value.code is ExitCode.USAGE
    assert checkpoint.begin(resume=False, restart=True) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_runs_are_kept_apart(tmp_path: Path) -> None:
    checkpoint = CheckpointFile(tmp_path / "there", {"command": "x"})
    again = CheckpointFile(checkpoint.path, checkpoint.work)
    (tmp_path / "there.lock").touch()  # of a run that was killed
    with checkpoint.explained():
        with pytest.raises(CommandError, match="another run is at work") as refused, again.explained():
            pass
        assert refused.value.code is ExitCode.USAGE
        with pytest.raises(CommandError, match="another run"), again.explained():
            pass
    with again.explained():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("a model's own"), KeyboardInterrupt()]
)
def test_whatever_ends_it_how_to_go_on_is_said(
    tmp_path: Path, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = CheckpointFile(tmp_path / "there", {"command": "x"})
    for is_there in (False, True):
        if is_there:
            checkpoint.write({})
        with pytest.raises(type(error)), checkpoint.explained():
            raise error
        assert ("the same command with --resume goes on there" in capsys.readouterr().err) == is_there


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--segments", "0"], "--segments"),
        (["--rate", "0"], "units_per_second"),
        (["--rate", "nan"], "units_per_second"),
        (["--yes", "--checkpoint", "nowhere/file"], "cannot be written"),
        (["--yes", "--checkpoint", "."], "no checkpoint of ours"),
        (["--yes", "--resume", "--restart"], "opposites"),
    ],
)
def test_wrong_options_of_migrate(cli: CommandLine, config: DynamoDBConfig, options: list[str], said: str) -> None:
    notes = add_notes(config, 1)
    answer = cli("migrate", f"{SHOP}:Notes", *options)
    assert answer.code == ExitCode.USAGE
    assert said in answer.err
    assert notes.get_raw("n0")["schema_version"] == 1  # type: ignore[index]


def test_a_repository_without_versions_has_nothing_to_migrate(cli: CommandLine, orders: Orders) -> None:
    answer = cli("migrate", f"{SHOP}:Orders", "--yes")
    assert answer.code == ExitCode.USAGE
    assert "schema_version" in answer.err


# --- policies and templates ------------------------------------------------------------------------------------------


def test_a_policy_of_several_repositories(cli: CommandLine, server: Server) -> None:
    names = [f"{SHOP}:AsyncOrders", f"{SHOP}:Tickets"]
    policy = json.loads(cli("iam-policy", *names, "--account", "123456789012", "--region", "eu-west-1").out)
    resources = {each for statement in policy["Statement"] for each in statement["Resource"] if "/index/" not in each}
    prefix = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{server.table_prefix}"
    assert resources == {f"{prefix}_orders", f"{prefix}_tickets"}
    actions = json.dumps(policy)
    assert "PutItem" in actions
    (reading,) = cli("iam-policy", *names, "--read-only", "--no-scan", "--json").lines
    assert "PutItem" not in json.dumps(reading)
    assert "Scan" not in json.dumps(reading)
    keys = json.loads(cli("iam-policy", names[0], "--leading-key", "T#1#*", "--admin").out)
    assert keys["Statement"][0]["Condition"]["ForAllValues:StringLike"] == {"dynamodb:LeadingKeys": ["T#1#*"]}
    assert cli("iam-policy", names[0], "--leading-key", "*").code == ExitCode.USAGE
    assert cli("iam-policy", names[0], "--account", "12345").code == ExitCode.USAGE
    assert cli("iam-policy", names[0], "--partition", "mars").code == ExitCode.USAGE


def test_templates(cli: CommandLine, server: Server) -> None:
    made = json.loads(cli("template", "cloudformation", f"{SHOP}:Orders").out)
    assert any(resource["Type"] == "AWS::DynamoDB::Table" for resource in made["Resources"].values())
    (terraform,) = cli("template", "terraform", f"{SHOP}:AsyncOrders", "--json").lines
    assert "aws_dynamodb_table" in terraform["resource"]
    assert cli("template", "pulumi", f"{SHOP}:Orders").code == ExitCode.USAGE


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["r2", "r1"]),
        (["--pipeline", "p1"], ["r1"]),
        (["--status", "failed"], ["r1"]),
        (["--status", "failed", "--pipeline", "p2"], []),
        (["--hours", "100"], ["r2", "r1", "r0"]),
        (["--hours", "100", "--status", "pending", "--pipeline", "p1"], ["r0"]),
        (["--limit", "1"], ["r2"]),
    ],
)
def test_runs_are_listed_newest_first(reading: CommandLine, options: list[str], expected: list[str]) -> None:
    answer = reading("runs", "list", "--json", *options)
    assert (answer.code, [line["run_id"] for line in answer.lines]) == (ExitCode.OK, expected)
    assert [words[0] for words in reading("runs", "list", *options).words[1:]] == expected


def test_times_are_shown_in_the_users_zone(reading: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = reading("runs", "show", "r1", "--json", "--timezone", "Asia/Tokyo").lines
    assert run["start_time"].endswith("+09:00")
    assert run["stages"][0]["start_time"].endswith("+09:00")
    monkeypatch.setenv("DYNAMODB_USER_TIMEZONE", "Asia/Kolkata")
    assert "+05:30" in reading("runs", "list").out
    assert "+05:30" in reading("runs", "show", "r1").out


def test_a_run_is_shown_with_its_messages(reading: CommandLine) -> None:
    answer = reading("runs", "show", "r1", "--messages")
    assert "load" in answer.out
    assert "begun" in answer.out
    assert "\x1b" not in answer.out
    (run,) = reading("runs", "show", "r1", "--messages", "--json").lines
    assert run["log_messages"] == ["begun", {"rows": 3}]


def test_a_run_that_is_not_there_ends_with_3(reading: CommandLine) -> None:
    assert reading("runs", "show", "nothing").code == ExitCode.NOT_FOUND
    assert reading("runs", "watch", "nothing").code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(("run_id", "code"), [("r1", ExitCode.NO), ("r2", ExitCode.OK)])
def test_watching_a_run_that_has_ended_ends_as_it_did(reading: CommandLine, run_id: str, code: ExitCode) -> None:
    answer = reading("runs", "watch", run_id, "--json")
    assert (answer.code, [line["run_id"] for line in answer.lines]) == (code, [run_id])
    assert f"run_id={run_id}" in reading("runs", "watch", run_id).out


def test_watching_goes_on_when_dynamodb_does_not_answer_for_a_while(
    reading: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str | Exception] = [
        "pending",
        ConnectionError("away"),
        ThrottlingError("slow"),
        "running",
        "running",
        "success",
    ]

    def looked(self: PipelineRunLogsRepository, run_id: str, *_: object, **__: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        times = dict.fromkeys(("start_time", "created_at", "updated_at"), MONDAY)
        return self.model_class(run_id=run_id, pipeline_id="p", trigger_type="t", status=answer, **times)

    monkeypatch.setattr(PipelineRunLogsRepository, "get_or_raise", looked)
    answer = reading("runs", "watch", "r9", "--every", "0.1", "--json")
    assert [line["status"] for line in answer.lines] == ["pending", "running", "success"]
    assert (answer.code, answers) == (ExitCode.OK, [])
    assert answer.err.count("trying again") == 2

    answers[:] = ["running", *[ConnectionError("away")] * 5]
    assert reading("runs", "watch", "r9", "--every", "0.1").code == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--status", "odd"],
        ["list", "--hours", "-1"],
        ["list", "--hours", "nan"],
        ["list", "--hours", "1e300"],
        ["list", "--limit", "0"],
        ["watch", "r1", "--every", "0"],
        ["watch", "r1", "--every", "inf"],
        ["watch"],
    ],
)
def test_wrong_options_of_runs(cli: CommandLine, arguments: list[str]) -> None:
    answer = cli("runs", *arguments)
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")


# --- how commands end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ItemNotFoundError("t", {"a": 1}), ExitCode.NOT_FOUND),
        (TableNotFoundError("no table"), ExitCode.NOT_FOUND),
        (ConnectionError("away"), ExitCode.UNREACHABLE),
        (CredentialsError("none"), ExitCode.DENIED),
        (AccessDeniedError("no"), ExitCode.DENIED),
        (ThrottlingError("slow"), ExitCode.REFUSED),
        (TableInUseError("busy"), ExitCode.REFUSED),
        (ConditionFailedError("no"), ExitCode.REFUSED),
        (ValidationError("wrong"), ExitCode.USAGE),
        (DynamoDBWrapperError("else"), ExitCode.REFUSED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (RuntimeError("odd\nerror"), ExitCode.BUG),
        (OSError(28, "No space left on device"), ExitCode.OUTPUT),
        (BrokenPipeError(), ExitCode.BROKEN_PIPE),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: ExitCode
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Orders, "scan", fails)
    monkeypatch.setattr(failures.os, "dup2", lambda *_: None)
    answer = cli("scan", f"{SHOP}:Orders")
    assert answer.code == code
    assert len(answer.err.splitlines()) == (0 if code is ExitCode.BROKEN_PIPE else 1)


def test_the_traceback_of_a_bug_is_shown_when_asked_for(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(Orders, "scan", fails)
    monkeypatch.setenv(failures.TRACEBACK_VARIABLE, "1")
    with pytest.raises(RuntimeError, match="odd"):
        cli("scan", f"{SHOP}:Orders")


def test_a_checkpoint_is_not_part_of_an_errors_line() -> None:
    error = DynamoDBWrapperError("away", context={"checkpoint": "x" * 100, "operation": "Scan"})
    assert failures._said(error) == "away (operation='Scan')"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({3, 1, 2}, [1, 2, 3]),
        ({Decimal("2.50"), Decimal("10")}, ["10", "2.50"]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, b"\x00"), [1, "AA=="]),
        ({MONDAY: timedelta(seconds=90)}, {"2026-11-02T09:30:00Z": "PT1M30S"}),
        (float("inf"), "inf"),
        (None, None),
    ],
)
def test_values_as_json(value: object, expected: object) -> None:
    assert json.loads(output.to_json(value)) == expected
