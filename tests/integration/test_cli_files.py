"""``export`` and ``import`` on a real server: what comes out of one goes into the other, and is the same."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.codec import to_json
from dynamodb_wrapper.operations.imports import Incoming
from tests import servers
from tests.integration.cli_files import MODELS, CommandLine, in_order, lines_of
from tests.integration.cli_files_models import Accounts, Customer, Customers, Order, Orders, Things, thing
from tests.integration.test_cli_rows import OF_DYNAMODB, SCALARS, items

FILES = {
    "json": ("things.jsonl", ()),
    "json packed": ("things.json.gz", ()),
    "csv": ("things.csv", ()),
    "csv packed": ("things.csv.gz", ()),
    "parquet": ("things.parquet", ()),
    "dynamodb-json": ("things.ddb", ("--format", "dynamodb-json")),
    "dynamodb-json packed": ("things.ddb.gz", ("--format", "dynamodb-json")),
    "s3-export": ("things", ("--format", "s3-export")),
}
THINGS = f"{MODELS}:Things"


@pytest.fixture
def cli(
    ministack_server: servers.RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandLine]:
    server = servers.Server(ministack_server)
    monkeypatch.chdir(tmp_path)
    yield CommandLine(server, tmp_path)
    server.clean_up()


def made(cli: CommandLine, repository_class: type[Any], models: list[Any] = []) -> BaseDynamoRepository[Any]:  # noqa: B006
    repository: BaseDynamoRepository[Any] = repository_class(cli.server.config())
    repository.ensure_table()
    for model in models:
        repository.create(model)
    return repository


def filled(cli: CommandLine, count: int = 60) -> BaseDynamoRepository[Any]:
    """A table of things, as their repository stores them, but for the version."""
    repository = made(cli, Things)
    cli.fill(repository.table_name, [repository._entity.encode(thing(number)) for number in range(count)])
    return repository


# --- there and back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FILES)
def test_what_was_exported_is_imported_as_it_was(cli: CommandLine, form: str) -> None:
    name, options = FILES[form]
    repository = filled(cli)
    before = cli.items(repository.table_name)
    exported = cli.ok("export", THINGS, "--to", name, *options)
    assert (exported["items"], exported["rejected"]) == (60, 0)
    assert exported["read_units"] > 0
    assert cli.items(repository.table_name) == before
    cli.empty(repository)
    imported = cli.ok("import", THINGS, "--from", name, *options)
    assert cli.items(repository.table_name) == before
    assert (imported["items"], imported["rejected"], imported["duplicates"]) == (60, 0, 0)
    assert imported["write_units"] >= 60
    assert {path.name for path in cli.folder.iterdir()} == {name}


@pytest.mark.parametrize("form", ["dynamodb-json", "s3-export"])
def test_any_item_of_a_table_without_a_model_comes_back(cli: CommandLine, form: str) -> None:
    table, copy = cli.raw_table(), cli.raw_table("copy")

    @settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(items(SCALARS | OF_DYNAMODB), min_size=1, max_size=12))
    def comes_back(drawn: list[Any]) -> None:
        for item in (*cli.items(table), *cli.items(copy)):
            for name in (table, copy):
                cli.server.client.delete_item(TableName=name, Key={"pk": item["pk"]})
        stored = [{**item, "pk": {"S": f"key {number}"}} for number, item in enumerate(drawn)]
        cli.fill(table, stored)
        path = cli.folder / "out"
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        cli.ok("export", "--table", table, "--to", path, "--format", form)
        cli.ok("import", "--table", copy, "--from", path, "--format", form)
        assert cli.items(copy) == cli.items(table)
        assert len(cli.items(copy)) == len(stored)

    comes_back()


def test_json_of_a_table_without_a_model(cli: CommandLine) -> None:
    table, copy = cli.raw_table(), cli.raw_table("copy")
    stored: list[Any] = [
        {"pk": {"S": "a"}, "n": {"N": "12345678901234567890.5"}, "l": {"L": [{"NULL": True}, {"BOOL": False}]}},
        {"pk": {"S": "b"}, "m": {"M": {"": {"S": ""}}}},
    ]
    cli.fill(table, stored)
    cli.ok("export", "--table", table, "--to", "out.jsonl")
    cli.ok("import", "--table", copy, "--from", "out.jsonl")
    assert cli.items(copy) == in_order(stored)

    cli.fill(table, [{"pk": {"S": "c"}, "tags": {"SS": ["x"]}, "raw": {"B": b"\x00"}}])
    refused = cli.run("export", "--table", table, "--to", "sets.jsonl", "--rejected", "bad.jsonl")
    assert refused.exit_code == 1
    assert "dynamodb-json" in refused.stderr
    (entry,) = lines_of(Path("bad.jsonl"))
    assert entry["key"] == {"pk": "c"}
    assert entry["row"]["Item"]["raw"] == {"B": "AA=="}
    assert len(lines_of(Path("sets.jsonl"))) == 2
    cli.ok("export", "--table", table, "--to", "lossy.jsonl", "--lossy")
    assert {"pk": "c", "tags": ["x"], "raw": "AA=="} in lines_of(Path("lossy.jsonl"))


def test_unique_values_and_schema_versions_are_kept(cli: CommandLine) -> None:
    repository = made(cli, Accounts)
    for name in "abc":
        repository.create(repository.model_class(name=name, email=f"{name}@example.com"))
    old = {"name": {"S": "d"}, "mail": {"S": "d@example.com"}, "logins": {"N": "3"}, "schema": {"N": "1"}}
    cli.fill(repository.table_name, [old])
    before = [item for item in cli.items(repository.table_name) if item.get("name") != {"S": "d"}]
    cli.ok("export", f"{MODELS}:Accounts", "--to", "accounts.jsonl")
    assert {row["email"] for row in lines_of(Path("accounts.jsonl"))} == {f"{name}@example.com" for name in "abcd"}
    cli.empty(repository)
    for options in ((), ("--create-only",), ()):
        cli.ok("import", f"{MODELS}:Accounts", "--from", "accounts.jsonl", *options)
        after = cli.items(repository.table_name)
        assert [item for item in after if item in before] == before
        assert repository.get_or_raise("d").logins == 3
        assert len(after) == 8, "four items, and a guard for each"
    Path("more.jsonl").write_text('{"name": "e", "email": "a@example.com"}\n')
    refused = cli.run("import", f"{MODELS}:Accounts", "--from", "more.jsonl")
    assert refused.exit_code == 1
    assert "email" in refused.stderr
    assert not repository.exists("e")


def test_of_a_shared_table_only_the_own_items_are_moved(cli: CommandLine) -> None:
    customers = made(cli, Customers, [Customer(customer_id=name, name=name) for name in "ab"])
    made(cli, Orders, [Order(customer_id="a", order_id=f"{number}") for number in range(5)])
    before = cli.items(customers.table_name)
    assert cli.ok("export", f"{MODELS}:Orders", "--to", "orders.jsonl")["items"] == 5
    assert cli.ok("export", f"{MODELS}:Customers", "--to", "customers", "--format", "s3-export")["items"] == 2
    refused = cli.run("import", f"{MODELS}:Orders", "--from", "customers")
    assert (refused.exit_code, refused.stderr.count("another repository")) == (1, 2)
    cli.empty(customers)
    cli.ok("import", f"{MODELS}:Orders", "--from", "orders.jsonl")
    cli.ok("import", f"{MODELS}:Customers", "--from", "customers")
    assert cli.items(customers.table_name) == before


def test_standard_streams(cli: CommandLine) -> None:
    repository = filled(cli, 20)
    before = cli.items(repository.table_name)
    for form in ("json", "csv", "dynamodb-json"):
        exported = cli.run("export", THINGS, "--to", "-", "--format", form)
        assert exported.exit_code == 0
        assert json.loads(exported.stderr.splitlines()[-1])["items"] == 20
        cli.empty(repository)
        assert cli.ok("import", THINGS, "--from", "-", "--format", form, given=exported.stdout_bytes)["items"] == 20
        assert cli.items(repository.table_name) == before
    assert not list(cli.folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_pipe_is_read_once(cli: CommandLine, form: str) -> None:
    repository = filled(cli, 20)
    before = cli.items(repository.table_name)
    rows = cli.run("export", THINGS, "--to", "-", "--format", form).stdout_bytes
    cli.empty(repository)
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(rows))
    writer.start()
    assert cli.ok("import", THINGS, "--from", "pipe", "--format", form)["items"] == 20
    writer.join()
    assert cli.items(repository.table_name) == before
    refused = cli.run("export", THINGS, "--to", "pipe", "--format", form, "--overwrite")
    assert (refused.exit_code, "is no file" in refused.stderr) == (2, True)
    assert [path.name for path in cli.folder.iterdir()] == ["pipe"]


def test_progress_is_drawn_where_there_is_a_terminal(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(cli, 20)
    assert cli.run("export", THINGS, "--to", "quiet.jsonl", "--rate", "inf").stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    drawn = cli.run("export", THINGS, "--to", "things.jsonl").stderr
    assert "things" in drawn
    assert "20 items" in drawn
    drawn = cli.run("import", THINGS, "--from", "things.jsonl").stderr
    assert "20 items" in drawn


def test_an_empty_table_makes_a_file_without_rows(cli: CommandLine) -> None:
    repository = made(cli, Things)
    for name, options in FILES.values():
        assert cli.ok("export", THINGS, "--to", name, *options)["items"] == 0
        assert cli.ok("import", THINGS, "--from", name, *options)["items"] == 0
    assert cli.items(repository.table_name) == []


# --- the layout of an export to S3 ----------------------------------------------------------------------------------


def test_a_folder_is_laid_out_as_dynamodb_does(cli: CommandLine) -> None:
    filled(cli)
    cli.ok("export", THINGS, "--to", "s3", "--format", "s3-export")
    summary = json.loads(Path("s3/manifest-summary.json").read_text())
    (entry,) = lines_of(Path("s3/manifest-files.json"))
    assert (summary["version"], summary["outputFormat"]) == ("2020-06-30", "DYNAMODB_JSON")
    assert summary["itemCount"] == entry["itemCount"] == 60
    assert summary["tableArn"].endswith("_things")
    assert summary["manifestFilesS3Key"].endswith("/manifest-files.json")
    assert entry["dataFileS3Key"].startswith(
        summary["manifestFilesS3Key"].removesuffix("manifest-files.json") + "data/"
    )
    with gzip.open(Path("s3/data") / entry["dataFileS3Key"].rpartition("/")[2], "rt") as lines:
        assert all(json.loads(line).keys() == {"Item"} for line in lines)


def folder_of(path: Path, files: dict[str, list[Any]], **summary: Any) -> None:
    """Write a folder as AWS does: single members, keys in S3, one file a partition, some of them empty."""
    (path / "data").mkdir(parents=True)
    entries = []
    for name, stored in files.items():
        packed = gzip.compress("".join(json.dumps({"Item": item}) + "\n" for item in stored).encode())
        (path / "data" / name).write_bytes(packed)
        checksum = b64encode(md5(packed).digest()).decode()
        key = f"prefix/AWSDynamoDB/01693685827463-2d8752fd/data/{name}"
        entries.append({"itemCount": len(stored), "md5Checksum": checksum, "etag": "af83-1", "dataFileS3Key": key})
    (path / "manifest-files.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    count = sum(map(len, files.values()))
    whole = {"version": "2020-06-30", "itemCount": count, "outputFormat": "DYNAMODB_JSON", "exportType": "FULL_EXPORT"}
    (path / "manifest-summary.json").write_text(json.dumps({**whole, **summary}))


def test_the_folder_that_we_are_in_is_imported(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(cli, 3)
    cli.ok("export", THINGS, "--to", "backup", "--format", "s3-export")
    monkeypatch.chdir("backup")
    assert cli.ok("import", THINGS, "--from", ".")["items"] == 3


def test_a_folder_of_aws_is_imported(cli: CommandLine) -> None:
    table = cli.raw_table()
    stored: list[Any] = [{"pk": {"S": f"{number}"}, "n": {"N": f"{number}"}} for number in range(30)]
    folder_of(cli.folder / "s3", {"a.json.gz": stored[:10], "b.json.gz": [], "c.json.gz": stored[10:]})
    assert cli.ok("import", "--table", table, "--from", "s3")["items"] == 30
    assert cli.items(table) == in_order(stored)


def broken(path: Path, what: str) -> None:
    data, files = path / "data/a.json.gz", path / "manifest-files.json"
    match what:
        case "md5":
            data.write_bytes(data.read_bytes()[:-1] + b"\x01")
        case "count":
            entry = json.loads(files.read_text())
            files.write_text(json.dumps({**entry, "itemCount": 3}))
        case "missing":
            data.unlink()
        case "unlisted":
            files.unlink()
        case "not json":
            (path / "manifest-summary.json").write_text("{")
        case "checksum of the manifest":
            (path / "manifest-files.checksum").write_text("A" * 22 + "==")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("md5", "MD5 checksum"),
        ("count", "items"),
        ("missing", "has no a.json.gz"),
        ("unlisted", "manifest-files.json is missing"),
        ("not json", "damaged"),
        ("checksum of the manifest", "manifest-files.checksum"),
    ],
)
def test_a_damaged_folder_writes_nothing(cli: CommandLine, what: str, reason: str) -> None:
    table = cli.raw_table()
    folder_of(cli.folder / "s3", {"a.json.gz": [{"pk": {"S": "x"}}, {"pk": {"S": "y"}}]})
    broken(cli.folder / "s3", what)
    result = cli.run("import", "--table", table, "--from", "s3")
    assert (result.exit_code, cli.items(table)) == (2, [])
    assert reason in result.stderr


@pytest.mark.parametrize("said", [{"outputFormat": "ION"}, {"exportType": "INCREMENTAL_EXPORT"}])
def test_exports_of_other_kinds_are_refused(cli: CommandLine, said: dict[str, str]) -> None:
    folder_of(cli.folder / "s3", {}, **said)
    result = cli.run("import", "--table", cli.raw_table(), "--from", "s3")
    assert (result.exit_code, "only a FULL_EXPORT as DYNAMODB_JSON" in result.stderr) == (2, True)


# --- rows that are refused ------------------------------------------------------------------------------------------

ROWS = [
    '{"owner": "a", "number": 1, "title": "first"}',
    "{",
    "",
    '{"owner": "a", "number": "one"}',
    '{"owner": "", "number": 1}',
    json.dumps({"owner": "a", "number": 2, "label": "x" * 400_000}),
    json.dumps({"owner": "a", "number": 3, "label": "x" * 410_000}),
    '{"owner": "a", "number": 1, "title": "last"}',
    '{"owner": "a", "number": 4, "title": ""}',
]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_refused_rows_are_reported_and_the_others_written(cli: CommandLine, options: tuple[str, ...]) -> None:
    repository = made(cli, Things)
    Path("in.jsonl").write_text("\n".join(ROWS))
    result = cli.run("--json", "import", THINGS, "--from", "in.jsonl", "--rejected", "bad.jsonl", *options)
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["items"], summary["rejected"], summary["duplicates"]) == (3, 5, 1)
    reasons = {entry["line"]: entry["reason"] for entry in lines_of(Path("bad.jsonl"))}
    assert reasons.keys() == {2, 4, 5, 7, 9}
    wanted = ["not JSON", "number: Input should be a valid integer", "is empty", "410,", "'title' of table"]
    assert all(text in reason for text, reason in zip(wanted, reasons.values(), strict=True)), reasons
    assert lines_of(Path("bad.jsonl"))[0]["row"] == "{"
    stored = repository.get("a", 1)
    assert (stored is None) if options else (stored is not None and stored.title == "last")
    assert all(f"refused: line {line} " in result.stderr for line in reasons)
    assert not list(cli.folder.glob("*checkpoint*"))


def test_what_only_dynamodb_knows_to_refuse_is_reported_row_by_row(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = made(cli, Things)
    rows = [{"owner": "a", "number": number, "title": f"t{number}"} for number in range(30)]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    name = repository.table_name

    def refuse(entity: Any, item: Any) -> Any:
        item = {**item, "title": {"N": "1"}} if item["number"] == {"N": "7"} else item
        return Incoming(item, to_json(item), 100)

    monkeypatch.setattr("dynamodb_wrapper.operations.imports.incoming", refuse)
    result = cli.run("--json", "import", THINGS, "--from", "in.jsonl", "--rejected", "bad.jsonl")
    assert (result.exit_code, json.loads(result.stdout)["items"]) == (1, 29), result.output
    assert [entry["line"] for entry in lines_of(Path("bad.jsonl"))] == [8]
    assert len(cli.items(name)) == 29


def test_too_many_refused_rows_stop_it_where_it_can_go_on(cli: CommandLine) -> None:
    table = cli.raw_table()
    rows = [json.dumps({"pk": str(number) if number % 500 else ""}) for number in range(2500)]
    Path("in.jsonl").write_text("\n".join(rows))
    command = ("import", "--table", table, "--from", "in.jsonl", "--rejected", "bad.jsonl", "--max-rejected")
    result = cli.run(*command, 3)
    assert (result.exit_code, "--resume" in result.stderr) == (1, True)
    assert "4 were refused, and --max-rejected is 3: line 1501 key 'pk'" in result.stderr
    assert 0 < len(cli.items(table)) < 2495
    assert cli.run(*command, 5).exit_code == 2, "there is a checkpoint, and neither --resume nor --restart"
    again = cli.run("--json", *command, 5, "--resume")
    assert (again.exit_code, len(cli.items(table))) == (1, 2495)
    assert [entry["line"] for entry in lines_of(Path("bad.jsonl"))] == [1, 501, 1001, 1501, 2001]
    summary = json.loads(again.stdout)
    assert (summary["items"], summary["rejected"], summary["duplicates"]) == (2495, 5, 0)


def test_what_is_there_is_left_alone_with_create_only(cli: CommandLine) -> None:
    table = cli.raw_table()
    cli.fill(table, [{"pk": {"S": "a"}, "n": {"N": "1"}}, {"pk": {"S": "b"}, "n": {"N": "1"}}])
    Path("in.jsonl").write_text(
        '{"pk": "a", "n": 1}\n{"pk": "b", "n": 2}\n{"pk": "c", "n": 3}\n{"pk": "c", "n": 4}\n{"pk": "c", "n": 3.0}\n'
    )
    result = cli.run("--json", "import", "--table", table, "--from", "in.jsonl", "--create-only")
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["items"], summary["same"], summary["rejected"]) == (1, 1, 2, 2)
    assert summary["duplicates"] == 2
    assert [item["n"] for item in cli.items(table)] == [{"N": "1"}, {"N": "1"}, {"N": "3"}]


def test_items_that_the_model_cannot_read_are_reported_by_an_export(cli: CommandLine) -> None:
    repository = filled(cli, 5)
    cli.fill(repository.table_name, [{"owner": {"S": "z"}, "number": {"N": "1"}, "price": {"S": "dear"}}])
    result = cli.run("export", THINGS, "--to", "things.csv", "--rejected", "bad.jsonl")
    assert result.exit_code == 1
    (entry,) = lines_of(Path("bad.jsonl"))
    assert (entry["key"], "price" in entry["reason"]) == ({"owner": "z", "number": 1}, True)
    assert entry["row"]["Item"]["price"] == {"S": "dear"}
    stopped = cli.run("export", THINGS, "--to", "other.csv", "--max-rejected", 0)
    assert (stopped.exit_code, list(cli.folder.glob("other*"))) == (1, [])


def test_attributes_that_the_model_does_not_know_are_told(cli: CommandLine) -> None:
    repository = filled(cli, 1)
    cli.fill(repository.table_name, [{"owner": {"S": "z"}, "number": {"N": "1"}, "old": {"S": "x"}}])
    result = cli.run("export", THINGS, "--to", "things.jsonl")
    assert (result.exit_code, "1 items have old, which the model does not know" in result.stderr) == (0, True)


# --- input that is damaged ------------------------------------------------------------------------------------------


def test_a_packed_file_that_ends_too_early_is_imported_as_far_as_it_goes(cli: CommandLine) -> None:
    table = cli.raw_table()
    whole = gzip.compress("".join(f'{{"pk": "{number}", "t": "{number * 7919}"}}\n' for number in range(5000)).encode())
    Path("in.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    result = cli.run("import", "--table", table, "--from", "in.jsonl.gz")
    assert (result.exit_code, "is damaged after line" in result.stderr) == (2, True)
    assert 0 < len(cli.items(table)) < 5000
    Path("in.jsonl.gz").write_bytes(whole)
    other = cli.run("import", "--table", table, "--from", "in.jsonl.gz", "--resume")
    assert (other.exit_code, "other work" in other.stderr) == (2, True)
    assert cli.ok("import", "--table", table, "--from", "in.jsonl.gz", "--restart")["items"] == 5000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("in.jsonl.gz", b"{}", "damaged"),
        ("in.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("in.csv", b"", "no first line"),
        ("in.csv", b"owner,nmuber\n", "'nmuber' is no field"),
        ("in.csv", b'owner,number\na,"1\n' + b"x\n" * 5_000_000, "not closed"),
        ("in.txt", b"", "says no format"),
    ],
)
def test_a_file_that_is_none_is_refused(cli: CommandLine, name: str, content: bytes, reason: str) -> None:
    repository = made(cli, Things)
    Path(name).write_bytes(content)
    result = cli.run("import", THINGS, "--from", name)
    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr
    assert cli.items(repository.table_name) == []
    assert [path.name for path in cli.folder.iterdir()] == [name], "nothing was done, so nothing is to be gone on with"


def test_a_line_without_an_end_is_one_refused_row(cli: CommandLine) -> None:
    table = cli.raw_table()
    Path("in.jsonl").write_bytes(b'{"pk": "a"}\n{"pk": "' + b"x" * 20_000_000 + b'"}\n{"pk": "b"}')
    result = cli.run("import", "--table", table, "--from", "in.jsonl")
    assert (result.exit_code, "line 2 is longer than 8 MB" in result.stderr) == (1, True)
    assert [item["pk"] for item in cli.items(table)] == [{"S": "a"}, {"S": "b"}]


# --- what is asked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("export", "--to", "x.jsonl"), "one of the two"),
        (("export", THINGS, "--table", "t", "--to", "x.jsonl"), "one of the two"),
        (("export", "--table", "{raw}", "--to", "x.csv"), "columns, which a model says"),
        (("export", THINGS, "--to", "-", "--format", "parquet"), "no format of lines"),
        (("export", THINGS, "--to", "there.jsonl"), "there already"),
        (("export", THINGS, "--to", "folder"), "there already"),
        (("export", THINGS, "--to", "-", "--resume"), "no checkpoint"),
        (("export", THINGS, "--to", "no/folder/x.jsonl"), "no folder no/folder"),
        (("import", THINGS, "--from", "missing.jsonl"), "no file missing.jsonl"),
        (("import", THINGS, "--from", "folder"), "manifest-summary.json"),
        (("import", THINGS, "--from", "there.jsonl", "--resume", "--restart"), "opposites"),
        (("import", THINGS, "--from", "there.jsonl", "--rejected", "folder/../there.jsonl"), "name another one"),
        (("import", THINGS, "--from", "there.jsonl", "--rejected", "/dev/null"), "is no file"),
        (("import", THINGS, "--from", "there.jsonl", "--rejected", "x", "--checkpoint", "x"), "name another one"),
        (("export", THINGS, "--to", "x.jsonl", "--checkpoint", "folder/../x.jsonl"), "name another one"),
        (("export", THINGS, "--to", "x.jsonl", "--rejected", "x.jsonl.part"), "name another one"),
        (("export", THINGS, "--to", "x.jsonl", "--rejected", "x.jsonl.checkpoint"), "name another one"),
        (("export", THINGS, "--to", ""), "names no file"),
        (("import", THINGS, "--from", "there.jsonl", "--rejected", "folder"), "is no file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    cli: CommandLine, arguments: tuple[str, ...], reason: str
) -> None:
    made(cli, Things)
    raw = cli.raw_table()
    Path("there.jsonl").write_text("{}")
    Path("folder").mkdir()
    result = cli.run(*(each.format(raw=raw) if "{raw}" in each else each for each in arguments))
    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr
    assert {path.name for path in cli.folder.iterdir()} == {"there.jsonl", "folder"}


def test_a_table_that_is_not_there(cli: CommandLine) -> None:
    assert cli.run("export", "--table", "nothing-here", "--to", "x.jsonl").exit_code == 3
    assert cli.run("export", THINGS, "--to", "x.jsonl").exit_code == 3


def test_a_file_is_replaced_only_when_that_is_said(cli: CommandLine) -> None:
    filled(cli, 3)
    Path("things.jsonl").write_text("old")
    assert cli.ok("export", THINGS, "--to", "things.jsonl", "--overwrite")["items"] == 3
    assert len(lines_of(Path("things.jsonl"))) == 3


def test_parquet_without_pyarrow_names_the_extra(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(cli, 1)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = cli.run("export", THINGS, "--to", "things.parquet")
    assert (result.exit_code, "dynamodb-wrapper[parquet]" in result.stderr) == (2, True)
