"""The pytest plugin as users run it, in a process of its own: messages of failing tests, other servers, xdist."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.servers import RunningServer

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]

SHOP = """
from decimal import Decimal

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import Add, AccessPattern, AsyncBaseDynamoRepository, BaseDynamoRepository, DynamoDBConfig, F
from dynamodb_wrapper import ConnectionError, transact_write


class Account(BaseModel):
    id: str
    balance: Decimal = Decimal(0)
    status: str = "open"


class Accounts(BaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "id"
    by_status = AccessPattern("by_status", partition="status", sort="id")


class AsyncAccounts(AsyncBaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "id"


@pytest.fixture
def accounts(dynamodb_tables):
    (accounts,) = dynamodb_tables(Accounts)
    return accounts


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.fixture
def installed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose environment has what an installation of this library leaves beside its package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = pytester.path / "site" / "dynamodb_wrapper_as_installed-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dynamodb-wrapper-as-installed\nVersion: 1\n")
    (entry,) = project["entry-points"]["pytest11"].items()
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{' = '.join(entry)}\n")
    (metadata / "RECORD").write_text("dynamodb_wrapper/__init__.py,,\n")
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(metadata.parent), str(ROOT))))
    return pytester


def run(project: pytest.Pytester, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    project.makepyfile(test_it=tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *options]
    return subprocess.run(command, cwd=project.path, capture_output=True, text=True, timeout=100, check=False)


FAILING: dict[str, tuple[str, list[str]]] = {
    "a fault that did not happen": (
        """
def test_0(accounts, dynamodb_faults):
    dynamodb_faults.throttle(2)
    dynamodb_faults.lose_response_of("UpdateItem", table=accounts)
    accounts.put(Account(id="a"))
    dynamodb_faults.slow(1, 2)
    accounts.get("a")
""",
        [
            "faults were set that did not happen, so this test does not show what it seems to:",
            "  lose_response_of on UpdateItem of table 'dev_accounts': was to happen 1 times, and happened 0 times",
            "  slow(1): was to happen 2 times, and happened 1 times",
        ],
    ),
    "a fault that is always on": (
        """
@pytest.mark.anyio
async def test_1(dynamodb_faults):
    dynamodb_faults.throttle(None, operation="Query")
""",
        ["  throttle on Query: was to happen always, and happened 0 times"],
    ),
    "too many requests": (
        """
def test_2(accounts, dynamodb_faults, dynamodb_requests):
    accounts.put(Account(id="a", status="x" * 70))
    dynamodb_faults.throttle(1)
    with dynamodb_requests.assert_requests(max=1):
        accounts.get("a")
        accounts.by_status("open").where(F.balance >= 3).first()
        accounts.patch("a", balance=Add(5), when=F.status == "x" * 70)
        accounts.put_many([Account(id="b"), Account(id="c")])
        accounts.get_many(["b", "c", "d"])
        transact_write([accounts.put_request(Account(id="d"))])
        accounts.table_status()
""",
        [
            "E   *AssertionError: 8 requests were sent, and there may be 1:",
            "E   * 1. GetItem dev_accounts key {'id': 'a'} -> ProvisionedThroughputExceededException",
            "E   * 2. GetItem dev_accounts key {'id': 'a'} (*units)",
            "E   * 3. Query dev_accounts index 'by_status' where status = 'open'; filter balance >= 3 (*units)",
            "E   * 4. UpdateItem dev_accounts key {'id': 'a'} if *status = 'xxx*xxx...*; update *balance 5* (*units)",
            "E   * 5. BatchWriteItem dev_accounts 2 of dev_accounts (*units)",
            "E   * 6. BatchGetItem dev_accounts 3 of dev_accounts (*units)",
            "E   * 7. TransactWriteItems dev_accounts Put dev_accounts",
            "E   * 8. DescribeTable dev_accounts",
        ],
    ),
    "too few requests": (
        """
def test_3(accounts, dynamodb_requests):
    with dynamodb_requests.assert_requests(exactly=1):
        pass
""",
        ["E   *AssertionError: 0 requests were sent instead of 1"],
    ),
    "too much capacity": (
        """
def test_4(accounts, dynamodb_requests):
    with dynamodb_requests.assert_requests(max_units=0.5):
        accounts.put(Account(id="a"))
""",
        ["E   *AssertionError: 1 units were consumed, and there may be 0.5:", "E   * 1. PutItem dev_accounts*"],
    ),
    "more reasons than actions": (
        """
def test_5(accounts, dynamodb_faults):
    dynamodb_faults.cancel_transaction("None", "ConditionalCheckFailed")
    transact_write([accounts.put_request(Account(id="d"))])
""",
        ["E   *AssertionError: 2 reasons were given for a transaction of 1 actions: *"],
    ),
    "the test's own failure comes first": (
        """
def test_6(accounts, dynamodb_faults):
    dynamodb_faults.throttle()
    assert accounts.config is None
""",
        ["E   *assert DynamoDBConfig*"],
    ),
    "what does not expire": (
        """
def test_7(accounts, dynamodb_tables):
    dynamodb_tables.expire(accounts)
""",
        ["E   *ValueError: Accounts declares no ttl_attribute, so nothing in it expires"],
    ),
    "a setting without its name": (
        """
@pytest.mark.dynamodb_config(0)
def test_8(accounts):
    pass
""",
        ["E   *the marker dynamodb_config takes settings by name, not (0,)"],
    ),
}


def test_failures_say_why(installed: pytest.Pytester) -> None:
    done = run(installed, SHOP + "".join(body for body, _ in FAILING.values()), "-p", "no:randomly")
    # The last one fails before it begins.
    assert f"{len(FAILING) - 1} failed, 1 error" in done.stdout.splitlines()[-1], done.stdout + done.stderr
    for number, (name, (_, lines)) in enumerate(FAILING.items()):
        failure = done.stdout.partition(f" test_{number} ___")[2].partition("\n____")[0]
        matcher = pytest.LineMatcher(failure.splitlines())
        try:
            matcher.fnmatch_lines([line.replace("[", "[[]") for line in lines])
        except pytest.fail.Exception as error:
            raise AssertionError(name) from error


def test_pytest_loads_nothing_heavy(installed: pytest.Pytester) -> None:
    done = run(
        installed,
        """
import sys

HEAVY = ("pydantic", "botocore", "boto3", "moto", "asyncio", "dynamodb_wrapper.config", "dynamodb_wrapper.transport")

def test_nothing_heavy_is_loaded(request):
    assert "dynamodb_wrapper.testing.plugin" in sys.modules
    assert not [name for name in HEAVY if name in sys.modules]
    assert not [name for name in request.fixturenames if name.startswith("dynamodb")]

def test_a_fixture(dynamodb_config):
    assert dynamodb_config.is_embedded
""",
        *("-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cov"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_after_a_test_nothing_of_it_is_left(installed: pytest.Pytester) -> None:
    tests = """
from dynamodb_wrapper.transport import connection_for
seen = []

def test_one(accounts):
    seen.append(accounts)
    accounts.put(Account(id="a"))

def test_two():
    (old,) = seen
    with pytest.raises(ConnectionError, match="this connection is closed"):
        old.get("a")
    assert type(connection_for(old.config)).__name__ == "Connection"
    assert Accounts(old.config).table_status() is None

def test_three(accounts):
    assert accounts.count() == 0
"""
    done = run(installed, SHOP + tests)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_on_another_server(installed: pytest.Pytester, moto_server: RunningServer) -> None:
    tests = f"""
@pytest.fixture
def dynamodb_base_config():
    return DynamoDBConfig(endpoint_url={moto_server.endpoint_url!r}, region_name="us-east-1", table_prefix="kit",
        aws_access_key_id="testing", aws_secret_access_key="testing")

def test_sync(accounts, dynamodb_faults, dynamodb_requests):
    assert accounts.health_report().transport == "direct"
    dynamodb_requests.clear()
    dynamodb_faults.throttle(1)
    accounts.put(Account(id="a"))
    assert accounts.get("a").id == "a"
    assert accounts.by_status("open").first().id == "a"
    dynamodb_faults.leave_unprocessed(1)
    accounts.put_many(Account(id=str(n)) for n in range(3))
    assert len(dynamodb_requests.all) == 6
    assert accounts.count() == 4
    accounts.delete_table()

@pytest.mark.anyio
async def test_async(dynamodb_tables, dynamodb_faults, dynamodb_requests):
    (accounts,) = dynamodb_tables(AsyncAccounts)
    dynamodb_faults.lose_response_of("PutItem")
    await accounts.put(Account(id="a"))
    dynamodb_faults.damage_response_of("BatchGetItem")
    assert (await accounts.get_many(["a"]))[0].id == "a"
    assert len(dynamodb_requests.all) == 4
    await accounts.delete_table()
"""
    done = run(installed, SHOP + tests)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_in_several_processes(installed: pytest.Pytester) -> None:
    tests = """
@pytest.mark.parametrize("n", range(6))
def test_it(accounts, dynamodb_faults, n):
    dynamodb_faults.throttle(1)
    accounts.create(Account(id="a"))
"""
    done = run(installed, SHOP + tests, "-n", "2")
    assert "6 passed" in done.stdout, done.stdout + done.stderr
