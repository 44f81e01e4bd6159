"""The benchmark program runs, and its table says what was measured and what was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.canned_server import answer
from benchmarks.cases import CASES
from benchmarks.data import PAGE_ITEMS, sort_key, wire_json
from benchmarks.models import customer
from benchmarks.peers import OTHERS, SkippedError
from benchmarks.processes import Sample
from benchmarks.report import Results, table
from dynamodb_wrapper.codec import ModelCodec, from_json

ROOT = Path(__file__).resolve().parent.parent.parent

Row = list[str]


def run(*options: str) -> tuple[list[Row], str]:
    """The rows of the table, without its head, and what is below it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text, _, below = done.stdout.partition("\n\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]], below


def test_every_short_case_is_measured_without_peers() -> None:
    rows, below = run("--peers", "none", "--transport", "botocore")
    names = {case.title for case in CASES.values() if not case.is_long and case.kind != "async"}
    assert {row[0] for row in rows if row[2]} >= names
    assert all(row[1].startswith("**dynamodb_wrapper**, transport botocore") for row in rows)
    assert "failed" not in below


def test_ratios_are_to_the_peers_of_the_same_run() -> None:
    rows, below = run("--only", "get,query", "--peers", "raw,boto3", "--transport", "botocore")
    assert len(rows) == 6
    for case in ("get", "query of 1,000 in 10 pages"):
        raw, *others = (row for row in rows if row[0] == case)
        assert raw[1] == "raw socket, ready bytes"
        assert raw[4] == "1.00"
        assert [row[3] for row in others if row[1].startswith("boto3")] == ["1.00"]
    assert "- boto3 Table + Pydantic by hand" in below


def test_a_peer_that_cannot_be_had_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_environment(_: object) -> Path:
        raise SkippedError("could not be installed: no network")

    monkeypatch.setattr(program, "python_for", no_environment)
    program.main(["--quick", "--only", "get", "--peers", "pynamodb", "--transport", "botocore"])
    assert "- PynamoDB: everything: could not be installed: no network" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--only", "got"], ["--peers", "mongo"]])
def test_unknown_names_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"unknown: (got|mongo); known are"):
        program.main(options)


def test_slow_moments_of_the_machine_do_not_count() -> None:
    results = Results(titles={"boto3": "boto3", "ours": "ours"}, pythons={"boto3": "3", "ours": "3"})
    results.samples["get", "boto3"] = [Sample(0.002, 1.0, {}), Sample(0.004, 2.0, {}), Sample(0.002, 1.0, {})]
    results.samples["get", "ours"] = [Sample(0.001, 2.0, {}), Sample(0.0005, 1.0, {}), Sample(0.0005, 1.0, {})]
    assert "| get | ours | 500 µs | 0.25 |" in table(results, [CASES["get"]])


def test_every_environment_has_its_requirements() -> None:
    for peer in OTHERS:
        assert not peer.environment or (ROOT / "requirements" / f"bench-{peer.environment}.txt").exists()


def test_the_server_pages_and_ends() -> None:
    def page(after: int | None) -> object:
        start = {} if after is None else {"ExclusiveStartKey": {"sk": {"S": sort_key(after)}}}
        body = wire_json({"ExpressionAttributeValues": {":pk": {"S": "user#250"}}, **start})
        found = from_json(answer(b"Query", body).partition(b"\r\n\r\n")[2])
        assert found["Count"] == PAGE_ITEMS
        return found.get("LastEvaluatedKey")

    assert page(None) == {"pk": {"S": "user#250"}, "sk": {"S": "order#000099"}}
    assert page(99) == {"pk": {"S": "user#250"}, "sk": {"S": "order#000199"}}
    assert page(199) is None


def test_the_item_served_is_the_model_written() -> None:
    found = from_json(answer(b"GetItem", b"{}").partition(b"\r\n\r\n")[2])
    assert ModelCodec(type(customer(1))).decode(found["Item"]) == customer(1)
