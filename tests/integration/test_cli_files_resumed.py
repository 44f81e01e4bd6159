"""Exports and imports that are killed, stopped or throttled: they go on, and nothing is twice or missing."""

from __future__ import annotations

import gzip
import json
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.faults import rules
from tests.faults.proxy import Proxy
from tests.integration.cli_files import MODELS, CommandLine, in_order, lines_of, wait_for
from tests.integration.cli_files_models import Orders

COUNT = 600
STORED: list[Any] = [
    {"pk": {"S": f"key {number}"}, "n": {"N": f"{number}"}, "raw": {"B": bytes([number % 256])}}
    for number in range(COUNT)
]
KEYS = {item["pk"]["S"] for item in STORED}


@pytest.fixture
def cli(
    ministack_server: servers.RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandLine]:
    server = servers.Server(ministack_server)
    monkeypatch.chdir(tmp_path)
    yield CommandLine(server, tmp_path)
    server.clean_up()


@pytest.fixture
def table(cli: CommandLine) -> str:
    """A table that is full."""
    name = cli.raw_table()
    cli.fill(name, STORED)
    return name


def rows_in(path: Path) -> list[Any]:
    """The items in what an export has made."""
    if path.is_dir():
        entries = lines_of(path / "manifest-files.json")
        files = [path / "data" / entry["dataFileS3Key"].rpartition("/")[2] for entry in entries]
        assert {file.name for file in files} == {file.name for file in (path / "data").iterdir()}
        return [row for file in files for row in rows_in(file)]
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["Item"] for line in lines]


@pytest.mark.parametrize(
    ("name", "how"),
    [("out.ddb", signal.SIGINT), ("out.ddb", signal.SIGKILL), ("out.ddb.gz", signal.SIGKILL), ("out", signal.SIGKILL)],
)
def test_an_export_goes_on_after_it_was_ended(cli: CommandLine, table: str, name: str, how: signal.Signals) -> None:
    form = "dynamodb-json" if "." in name else "s3-export"
    command = ("export", "--table", table, "--to", name, "--format", form, "--resume")
    checkpoint = Path(f"{name}.checkpoint")
    ended = cli.interrupted(checkpoint, *command, "--rate", 12, how=how)
    assert ended.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
    assert ("--resume goes on there" in ended.stderr) == (how is signal.SIGINT)
    assert (checkpoint.exists(), Path(name).exists()) == (True, False)
    done = json.loads(checkpoint.read_text())["state"]["moved"]["items"]
    assert 0 < done < COUNT

    assert cli.run(*command[:-1]).exit_code == 2, "it does not go on without being told to"
    summary = cli.ok(*command)
    assert summary["items"] == COUNT
    stored = rows_in(Path(name))
    assert len(stored) == COUNT, "nothing is twice"
    assert {item["pk"]["S"] for item in stored} == KEYS, "nothing is missing"
    assert {path.name for path in cli.folder.iterdir()} == {name}


def test_an_export_that_is_killed_again_and_again_gets_there(cli: CommandLine, table: str) -> None:
    command = ("export", "--table", table, "--to", "out.ddb.gz", "--format", "dynamodb-json", "--resume")
    checkpoint, done = Path("out.ddb.gz.checkpoint"), [0]
    for _ in range(2):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        with cli.started(*command, "--rate", 8) as process:
            wait_for(checkpoint, process, newer_than=before)
            process.kill()
            process.wait()
        done.append(json.loads(checkpoint.read_text())["state"]["moved"]["items"])
    assert done[0] < done[1] < done[2] < COUNT, "each has come further"
    cli.ok(*command)
    assert in_order(rows_in(Path("out.ddb.gz"))) == in_order(json.loads(json.dumps(STORED, default=_base64)))


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def test_an_export_does_not_go_on_with_what_is_something_else(cli: CommandLine, table: str) -> None:
    command = ("export", "--table", table, "--to", "out.ddb", "--format", "dynamodb-json")
    cli.interrupted(Path("out.ddb.checkpoint"), *command, "--rate", 12, how=signal.SIGKILL)
    other = cli.run(*command, "--segments", 5, "--resume")
    assert (other.exit_code, "other work" in other.stderr) == (2, True)
    Path("out.ddb.part").write_bytes(b"")
    shorter = cli.run(*command, "--resume")
    assert (shorter.exit_code, "--restart" in shorter.stderr) == (2, True)
    assert cli.ok(*command, "--restart")["items"] == COUNT
    assert len(rows_in(Path("out.ddb"))) == COUNT


def test_an_export_that_was_killed_as_it_was_done_is_done(
    cli: CommandLine, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynamodb_wrapper.cli.checkpoints.CheckpointFile.remove", lambda self: None)
    command = ("export", "--table", table, "--to", "out.ddb", "--format", "dynamodb-json")
    cli.ok(*command)
    monkeypatch.undo()
    monkeypatch.chdir(cli.folder)
    assert Path("out.ddb.checkpoint").exists()
    assert cli.ok(*command, "--resume")["items"] == COUNT
    assert not Path("out.ddb.checkpoint").exists()
    assert len(rows_in(Path("out.ddb"))) == COUNT


def test_a_parquet_file_is_made_anew_after_it_was_ended_half_made(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Orders(cli.server.config())
    repository.ensure_table()
    for number in range(30):
        repository.create(repository.model_class(customer_id="c", order_id=f"{number}"))

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    command = ("export", f"{MODELS}:Orders", "--to", "out.parquet", "--resume")
    with monkeypatch.context() as patched:
        patched.setattr("dynamodb_wrapper.cli.files.parquet.ParquetRows.write", ended)
        assert cli.run(*command).exit_code == 130
    assert not Path("out.parquet").exists()
    assert cli.ok(*command)["items"] == 30
    assert {path.name for path in cli.folder.iterdir()} == {"out.parquet"}
    cli.empty(repository)
    assert cli.ok("import", f"{MODELS}:Orders", "--from", "out.parquet")["items"] == 30


@pytest.mark.parametrize(
    ("how", "options"), [(signal.SIGINT, ()), (signal.SIGKILL, ()), (signal.SIGKILL, ("--create-only",))]
)
def test_an_import_goes_on_after_it_was_ended(cli: CommandLine, how: signal.Signals, options: tuple[str, ...]) -> None:
    table = cli.raw_table("target")
    rows = [json.dumps({"pk": key, "n": number}) for number, key in enumerate(sorted(KEYS))]
    rows[300:300] = ['{"pk": "key 1", "n": 0}', "no row"]
    Path("in.jsonl").write_text("\n".join(rows))
    command = ("import", "--table", table, "--from", "in.jsonl", "--rejected", "bad.jsonl", *options, "--resume")
    checkpoint = Path(f"in.jsonl.{table}.checkpoint")
    ended = cli.interrupted(checkpoint, *command, "--rate", 120, how=how)
    assert ended.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
    assert 0 < len(cli.items(table)) < COUNT

    result = cli.run("--json", *command)
    summary = json.loads(result.stdout.splitlines()[-1])
    stored = {item["pk"]["S"]: int(item["n"]["N"]) for item in cli.items(table)}
    assert stored.keys() == KEYS
    wanted = {key: number for number, key in enumerate(sorted(KEYS))}
    assert stored == (wanted if options else wanted | {"key 1": 0})
    assert (result.exit_code, summary["duplicates"]) == (1, 1)
    assert summary["items"] + summary["same"] + summary["rejected"] == COUNT + 2
    assert {entry["line"] for entry in lines_of(Path("bad.jsonl"))} == ({301, 302} if options else {302})
    assert len(lines_of(Path("bad.jsonl"))) == summary["rejected"]
    assert {path.name for path in cli.folder.iterdir()} == {"in.jsonl", "bad.jsonl"}


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in"])
def test_an_import_goes_on_in_every_format(cli: CommandLine, name: str) -> None:
    repository = Orders(cli.server.config())
    repository.ensure_table()
    models = [{"customer_id": f"c{number % 9}", "order_id": f"o{number}", "total": number} for number in range(300)]
    cli.fill(repository.table_name, [repository._entity.encode(repository.model_class(**each)) for each in models])
    before = cli.items(repository.table_name)
    cli.ok("export", f"{MODELS}:Orders", "--to", name, *(() if "." in name else ("--format", "s3-export")))
    cli.empty(repository)
    command = ("import", f"{MODELS}:Orders", "--from", name, "--resume")
    cli.interrupted(Path(f"{name}.{repository.table_name}.checkpoint"), *command, "--rate", 80, how=signal.SIGKILL)
    assert 0 < len(cli.items(repository.table_name)) < 300
    summary = cli.ok(*command)
    assert cli.items(repository.table_name) == before
    assert (summary["items"], summary["duplicates"]) == (300, 0)


def test_an_import_does_not_go_on_with_another_file(cli: CommandLine) -> None:
    table = cli.raw_table("target")
    Path("in.jsonl").write_text("\n".join(json.dumps({"pk": key}) for key in KEYS))
    command = ("import", "--table", table, "--from", "in.jsonl")
    cli.interrupted(Path(f"in.jsonl.{table}.checkpoint"), *command, "--rate", 120, how=signal.SIGKILL)
    with Path("in.jsonl").open("a") as file:
        file.write('\n{"pk": "one more"}')
    other = cli.run(*command, "--resume")
    assert (other.exit_code, "other work" in other.stderr) == (2, True)
    assert cli.ok(*command, "--restart")["items"] == COUNT + 1


def test_an_import_does_not_go_on_in_another_table_of_the_same_name(cli: CommandLine) -> None:
    table = cli.raw_table("target")
    Path("in.jsonl").write_text("\n".join(json.dumps({"pk": key}) for key in KEYS))
    command = ("import", "--table", table, "--from", "in.jsonl")
    cli.interrupted(Path(f"in.jsonl.{table}.checkpoint"), *command, "--rate", 120, how=signal.SIGKILL)
    cli.server.client.delete_table(TableName=table)
    cli.raw_table("target")
    other = cli.run(*command, "--resume")
    assert (other.exit_code, "other work" in other.stderr, cli.items(table)) == (2, True, [])


# --- a server that has had enough -----------------------------------------------------------------------------------


@pytest.fixture
def proxy(ministack_server: servers.RunningServer, cli: CommandLine) -> Iterator[Proxy]:
    proxy = Proxy(str(ministack_server.endpoint_url))
    cli.endpoint_url = proxy.url
    yield proxy
    proxy.close()


def test_throttling_is_waited_out(cli: CommandLine, table: str, proxy: Proxy) -> None:
    proxy.inject(rules.throttle(), "Scan", skip=1, times=2)
    assert cli.ok("export", "--table", table, "--to", "out.ddb", "--format", "dynamodb-json")["items"] == COUNT
    copy = cli.raw_table("copy")
    proxy.inject(rules.throttle(), "BatchWriteItem", skip=2, times=3)
    proxy.inject(rules.leftovers(3), "BatchWriteItem", times=4)
    assert cli.ok("import", "--table", copy, "--from", "out.ddb", "--format", "dynamodb-json")["items"] == COUNT
    assert cli.items(copy) == cli.items(table)


@pytest.mark.parametrize("options", [(), ("--create-only",)])
def test_lost_answers_do_no_harm(cli: CommandLine, proxy: Proxy, options: tuple[str, ...]) -> None:
    table = cli.raw_table("target")
    Path("in.jsonl").write_text("\n".join(json.dumps({"pk": key}) for key in sorted(KEYS)[:120]))
    operation = "PutItem" if options else "BatchWriteItem"
    proxy.inject(rules.server_error(applied=True), operation, skip=1, times=2)
    proxy.inject(rules.reset(applied=True), operation, times=1)
    summary = cli.ok("import", "--table", table, "--from", "in.jsonl", *options)
    assert (summary["items"] + summary["same"], summary["rejected"]) == (120, 0)
    assert {item["pk"]["S"] for item in cli.items(table)} == set(sorted(KEYS)[:120])


def test_what_was_given_up_is_gone_on_with(
    cli: CommandLine, table: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNAMODB_MAX_RETRIES", "1")
    command = ("export", "--table", table, "--to", "out.ddb", "--format", "dynamodb-json", "--resume")
    proxy.inject(rules.throttle(), "Scan", skip=6, times=None)
    ended = cli.run(*command, "--rate", 40)
    assert ended.exit_code == 6, ended.output
    proxy.calm()
    cli.ok(*command)
    copy = cli.raw_table("copy")
    command = ("import", "--table", copy, "--from", "out.ddb", "--format", "dynamodb-json", "--resume")
    proxy.inject(rules.throttle(), "BatchWriteItem", skip=9, times=None)
    ended = cli.run(*command, "--rate", 200)
    assert (ended.exit_code, "--resume goes on there" in ended.stderr) == (6, True)
    assert 0 < len(cli.items(copy)) < COUNT
    proxy.calm()
    assert cli.ok(*command)["duplicates"] == 0
    assert cli.items(copy) == cli.items(table)


def test_a_rate_is_kept(cli: CommandLine, table: str) -> None:
    begun = time.monotonic()
    summary = cli.ok("export", "--table", table, "--to", "out.ddb", "--format", "dynamodb-json", "--rate", 40)
    assert time.monotonic() - begun >= summary["read_units"] / 40
    assert summary["read_units"] >= 10, "pages are small enough for the rate"
    Path("few.ddb").write_text("".join(Path("out.ddb").read_text().splitlines(keepends=True)[:60]))
    begun = time.monotonic()
    command = ("import", "--table", cli.raw_table("copy"), "--from", "few.ddb", "--format", "dynamodb-json")
    summary = cli.ok(*command, "--rate", 40)
    assert time.monotonic() - begun >= summary["write_units"] / 40 >= 1.5
