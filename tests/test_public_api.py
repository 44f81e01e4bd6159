"""What users import, and that importing does nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import dynamodb_wrapper

TOP_LEVEL = [
    "BaseDynamoRepository",
    "PipelineConfigRepository",
    "TableConfigRepository",
    "PipelineRunLogsRepository",
    "PipelineConfig",
    "TableConfig",
    "PipelineRunLog",
    "RunStatus",
    "LogLevel",
    "TableType",
    "DataFormat",
    "StageInfo",
    "DataQualityResult",
    "DynamoDBConfig",
    "AccessPattern",
    "F",
    "Add",
    "Remove",
    "Append",
    "Prepend",
    "SetIfMissing",
    "Delete",
    "DynamoDBSingleton",
    "get_table",
    "get_all_tables",
    "health_check",
    "reset_connection",
    "AWSServices",
    "aws_services",
    "DynamoDBWrapperError",
    "ConnectionError",
    "ItemNotFoundError",
    "ValidationError",
    "ItemAlreadyExistsError",
    "ConditionFailedError",
    "VersionConflictError",
    "ThrottlingError",
    "TransactionCanceledError",
    "BatchIncompleteError",
    "TableNotFoundError",
    "ItemTooLargeError",
    "WriteOutcomeUnknownError",
]

SUB_PACKAGES = {
    "config": ["DynamoDBConfig"],
    "exceptions": ["ConnectionError", "DynamoDBWrapperError", "ItemNotFoundError", "ValidationError"],
    "models": ["DataFormat", "LogLevel", "PipelineConfig", "PipelineRunLog", "RunStatus", "TableConfig", "TableType"],
    "repositories": [
        "BaseDynamoRepository",
        "PipelineConfigRepository",
        "PipelineRunLogsRepository",
        "TableConfigRepository",
    ],
    "utils": ["TimezoneManager", "now_in_tz", "to_user_timezone", "to_utc", "utcnow", "validate_timezone_string"],
}


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_a_contract_name_is_at_the_top(name: str) -> None:
    assert name in dynamodb_wrapper.__all__
    assert getattr(dynamodb_wrapper, name) is not None


@pytest.mark.parametrize("package", SUB_PACKAGES)
def test_a_sub_package_exports_its_own(package: str) -> None:
    module = importlib.import_module(f"dynamodb_wrapper.{package}")
    assert set(SUB_PACKAGES[package]) <= set(module.__all__)


@pytest.mark.parametrize(
    "package", ["", "codec", "config", "exceptions", "expressions", "models", "repositories", "transport", "utils"]
)
def test_all_has_no_doubles_and_is_true(package: str) -> None:
    module = importlib.import_module(f"dynamodb_wrapper.{package}".rstrip("."))
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, dynamodb_wrapper\n"
        "heavy = {'boto3', 'botocore', 'urllib3', 'moto', 'flask', 'pandas', 'pyspark', 'fastapi'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    assert in_a_fresh_process(code) == "[]"


def test_importing_reads_no_environment_and_opens_nothing() -> None:
    code = (
        "import pydantic, pydantic_settings, os, socket\n"
        "class Watched(dict):\n"
        "    def __getitem__(self, key):\n"
        "        seen.append(key); return super().__getitem__(key)\n"
        "    def get(self, key, default=None):\n"
        "        seen.append(key); return super().get(key, default)\n"
        "seen = []\n"
        "os.environ = Watched(os.environ)\n"
        "def refuse(*_, **__): raise AssertionError('a socket at import')\n"
        "socket.socket.connect = refuse\n"
        "import dynamodb_wrapper\n"
        "print([key for key in seen if str(key).startswith(('AWS', 'DYNAMODB', 'ENVIRONMENT'))])"
    )
    assert in_a_fresh_process(code) == "[]"


def test_a_hundred_repositories_share_one_connection() -> None:
    config = dynamodb_wrapper.DynamoDBConfig.embedded()
    repositories = [dynamodb_wrapper.PipelineConfigRepository(config) for _ in range(100)]
    assert len({id(repository._connection) for repository in repositories}) == 1
