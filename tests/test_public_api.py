"""The public surface: the names of the contract, and what importing them does not do."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dynamodb_wrapper
from tests.servers import ROOT


def words(text: str) -> list[str]:
    return text.split()


TOP_LEVEL = words("""
    Cache CacheInfo
    BaseDynamoRepository
    PipelineConfigRepository TableConfigRepository PipelineRunLogsRepository
    PipelineConfig TableConfig PipelineRunLog RunStatus LogLevel TableType DataFormat StageInfo DataQualityResult
    DynamoDBConfig AccessPattern F Add Remove Append Prepend SetIfMissing Delete
    DynamoDBSingleton get_table get_all_tables health_check reset_connection register_tables configure
    AWSServices aws_services get_cognito_client get_dynamodb_resource get_bedrock_client get_s3_client
    DynamoDBWrapperError ConnectionError ItemNotFoundError ValidationError ItemAlreadyExistsError
    ConditionFailedError VersionConflictError ThrottlingError TransactionCanceledError BatchIncompleteError
    TableNotFoundError ItemTooLargeError WriteOutcomeUnknownError
    Derived Page PartialItem Query TableOptions Condition KeyedList EpochSeconds
    AccessDeniedError CancellationReason CorruptResponseError CredentialsError DeclarationError ExpressionError
    InvalidCursorError LimitExceededError MultipleItemsFoundError ServerError StoredItemError TableInUseError
    ThrottlingReason TransactionConflictError
    Batch BatchProgress Loaded Loader ParallelScan ParentPattern TreeNode TreeMetadata TreeWithMetadata
    transact_write transact_get transaction Transaction WriteRequest GetRequest
    Unique UniqueViolationError IdempotentParameterMismatchError
    get_dynamodb_client BatchSummary DocumentClient
    DeadlineExceededError ConsumedCapacity TableCapacity HealthReport RequestCounts RequestEvent RequestMetrics
    Subscription health_report observe
    AsyncBaseDynamoRepository AsyncPipelineConfigRepository AsyncTableConfigRepository AsyncPipelineRunLogsRepository
    AsyncPipelineRunEventsRepository AsyncBatch AsyncLoaded AsyncLoader AsyncParallelScan AsyncQuery AsyncTransaction
    AsyncDocumentClient get_async_dynamodb_client async_transact_get async_transact_write async_transaction
    Key Sharded SingleTable Collection CollectionQuery AsyncCollectionQuery
""")

SUB_PACKAGES = {
    "client": """
        AsyncDocumentClient BatchSummary DocumentClient TreeMetadata TreeWithMetadata
        get_async_dynamodb_client get_dynamodb_client
    """,
    "config": "DynamoDBConfig",
    "exceptions": """
        DynamoDBWrapperError ConnectionError ItemNotFoundError ValidationError ItemAlreadyExistsError
        ConditionFailedError VersionConflictError ThrottlingError TransactionCanceledError BatchIncompleteError
        TableNotFoundError ItemTooLargeError WriteOutcomeUnknownError
    """,
    "models": """
        PipelineConfig TableConfig PipelineRunLog RunStatus LogLevel TableType DataFormat StageInfo DataQualityResult
    """,
    "repositories": """
        BaseDynamoRepository AccessPattern PipelineConfigRepository TableConfigRepository PipelineRunLogsRepository
        AsyncBaseDynamoRepository AsyncPipelineConfigRepository AsyncTableConfigRepository
        AsyncPipelineRunLogsRepository
    """,
    "utils": """
        TimezoneManager get_timezone_manager set_global_timezone configure_timezone_from_config now_in_tz utcnow
        to_user_timezone convert_utc_to_user_tz to_utc ensure_timezone_aware validate_timezone_string
        SparkDynamoDBIntegration
    """,
    "spark": """
        SparkDynamoDBIntegration SparkMissingError register require_java require_spark spark_schema
        create_spark_session_with_dynamodb get_pipeline_config_for_spark get_table_configs_for_spark
        log_pipeline_run_from_spark
    """,
}

REPOSITORY_METHODS = words("""
    create put get get_or_raise exists update patch delete list_all scan query_by_pk query count
    get_with_timezone list_all_with_timezone create_with_timezone_context
    create_table ensure_table delete_table table_status health_check
    get_many put_many delete_many batch loader parallel_scan
    read_tree find_orphans move_subtree delete_subtree
    put_request create_request update_request patch_request delete_request check_request get_request ensure_unique
    with_options health_report close warm_up
    table_diff apply_table cloudformation terraform describe
""")

QUERY_METHODS = words("where project limit page_size descending consistent page first one count explain __iter__")


def packages() -> list[ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(dynamodb_wrapper.__path__, "dynamodb_wrapper.") if info.ispkg]
    return [dynamodb_wrapper, *map(importlib.import_module, sorted(names))]


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_contracts_names_are_at_the_top(name: str) -> None:
    assert name in dynamodb_wrapper.__all__
    assert hasattr(dynamodb_wrapper, name)


@pytest.mark.parametrize("package", SUB_PACKAGES)
def test_sub_packages_have_the_contracts_names(package: str) -> None:
    module = importlib.import_module(f"dynamodb_wrapper.{package}")
    assert set(SUB_PACKAGES[package].split()) <= set(module.__all__)


@pytest.mark.parametrize("module", packages(), ids=lambda module: module.__name__)
def test_all_is_sorted_complete_and_has_no_more_than_there_is(module: ModuleType) -> None:
    exported = getattr(module, "__all__", [])
    assert list(exported) == sorted(
        exported, key=lambda name: (len(name) == 1 or not name.isupper(), not name[0].isupper(), name)
    )
    assert len(set(exported)) == len(exported)
    for name in exported:
        assert hasattr(module, name), name
        assert not name.startswith("_"), name


def test_a_name_is_one_thing_wherever_it_is_imported_from() -> None:
    for module in packages():
        for name in getattr(module, "__all__", []):
            if name in dynamodb_wrapper.__all__:
                assert getattr(module, name) is getattr(dynamodb_wrapper, name), f"{module.__name__}.{name}"


def test_repositories_and_queries_have_the_contracts_methods() -> None:
    for owner, names in (
        (dynamodb_wrapper.BaseDynamoRepository, REPOSITORY_METHODS),
        (dynamodb_wrapper.Query, QUERY_METHODS),
    ):
        for name in names:
            assert callable(getattr(owner, name)), name
            assert getattr(owner, name).__doc__, name


def test_errors_are_one_tree() -> None:
    errors = [getattr(dynamodb_wrapper, name) for name in dynamodb_wrapper.__all__ if name.endswith("Error")]
    assert len(errors) >= 20
    for error in errors:
        assert issubclass(error, dynamodb_wrapper.DynamoDBWrapperError), error


def run(code: str, **environment: str) -> str:
    """Return what a fresh interpreter prints; warnings are errors."""
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.strip()


DECLARE = """
import dynamodb_wrapper as d
from pydantic import BaseModel
import dynamodb_wrapper.models, dynamodb_wrapper.repositories, dynamodb_wrapper.utils, dynamodb_wrapper.config
class Order(BaseModel):
    id: str
class Orders(d.BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "id"
"""

HEAVY = words("boto3 botocore s3transfer urllib3 moto flask werkzeug pandas numpy pyspark fastapi starlette requests")


def test_importing_and_declaring_imports_no_client_library() -> None:
    shown = f"import sys; print(sorted(set({HEAVY!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    assert run(DECLARE + shown) == "[]"


LAZY = [package for package in packages() if "__getattr__" in vars(package)]


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_what_type_checkers_see_is_what_is_imported_when_used(package: ModuleType) -> None:
    assert package.__file__ is not None
    body = ast.parse(Path(package.__file__).read_text()).body
    (block,) = (node for node in body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    eager = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    seen = {
        alias.name: node.module for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(seen) == set(getattr(package, "__all__", [])) - eager - {"__version__"}
    for name, module in seen.items():
        assert getattr(package, name) is getattr(importlib.import_module(str(module)), name), name
        assert name in dir(package)
    for module in pkgutil.iter_modules(package.__path__):
        assert importlib.import_module(f"{package.__name__}.{module.name}").__name__.endswith(module.name)


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_a_name_that_is_not_there(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'") as caught:
        package.nothing  # noqa: B018
    assert caught.value.name == "nothing"
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package.__name__} import nothing")


def test_everything_with_a_star() -> None:
    code = (
        "from dynamodb_wrapper import *; import dynamodb_wrapper as d; print(sorted(set(d.__all__) - set(globals())))"
    )
    assert run(code) == "[]"


def test_a_module_is_there_in_whatever_order_it_is_imported() -> None:
    assert (
        run("""
from dynamodb_wrapper.operations import trees as early
import dynamodb_wrapper.operations.trees
from dynamodb_wrapper.operations import trees
from dynamodb_wrapper import operations
import types
print(type(early).__name__, isinstance(trees, types.ModuleType), operations.trees is trees, early.read is trees.read)
from dynamodb_wrapper.transport import other_services
from dynamodb_wrapper.transport import aws_services, AWSServices
print(isinstance(aws_services, AWSServices))
""")
        == "LazyModule True True True\nTrue"
    )


OURS = "import sys; print(*sorted(name for name in sys.modules if name.startswith('dynamodb_wrapper.')))"


def test_importing_loads_next_to_nothing() -> None:
    loaded = set(run("import dynamodb_wrapper;" + OURS).split())
    assert {name.split(".")[1] for name in loaded} <= {"exceptions", "utils"}
    others = "import sys, dynamodb_wrapper; print('pydantic' in sys.modules, 'asyncio' in sys.modules)"
    assert run(others) == "False False"


READ = (
    DECLARE.replace(
        "import dynamodb_wrapper.models, dynamodb_wrapper.repositories, dynamodb_wrapper.utils, ", "import "
    )
    + """
import socket, threading, zlib
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    accepted, _ = listener.accept()
    accepted.recv(65536)
    body = b'{"Item":{"id":{"S":"x"}}}'
    head = f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(body)}\\r\\nx-amz-crc32: {zlib.crc32(body)}\\r\\n\\r\\n"
    accepted.sendall(head.encode() + body)
    accepted.close()
    listener.close()
server = threading.Thread(target=serve)
server.start()
orders = Orders(d.DynamoDBConfig(endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
assert orders.get("x").id == "x"
orders.close()
server.join()
import sys
"""
)


def test_the_first_answer_loads_only_what_reading_needs(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "K",
        "AWS_SECRET_ACCESS_KEY": "S",
        "AWS_REGION": "us-east-1",
    }
    loaded = run(READ + OURS, **environment).split()
    flows = {name for name in loaded if name.startswith("dynamodb_wrapper.operations.")}
    assert flows == {
        f"dynamodb_wrapper.operations.{name}"
        for name in (
            *("capacity", "declaration", "effects", "entity", "entity_keys", "indexes", "items", "key_values"),
            *("requests", "table_options"),
        )
    }
    assert [name for name in loaded if ".async_" in name or ".client." in name or ".models." in name] == []
    assert "dynamodb_wrapper.repositories.query" not in loaded
    assert "dynamodb_wrapper.expressions.nodes" not in loaded
    heavy = [*HEAVY, "asyncio", "pydantic_settings", "opentelemetry", "argparse"]
    assert run(READ + f"print([name for name in {heavy!r} if name in sys.modules])", **environment) == "[]"


def test_importing_makes_no_client_and_reads_no_environment() -> None:
    assert (
        run(
            """
import os, socket, threading, sys
import pydantic, logging, ssl, zoneinfo, decimal  # what they read of the environment is theirs
read = []
real_get, real_item = os.environ.__class__.get, os.environ.__class__.__getitem__
def note(name):
    if str(name).startswith(("AWS", "DYNAMODB", "ENVIRONMENT")):
        read.append(name)
def get(self, name, default=None):
    note(name)
    return real_get(self, name, default)
def item(self, name):
    note(name)
    return real_item(self, name)
def every(self):
    read.append("everything")
    return iter(())
os.environ.__class__.get, os.environ.__class__.__getitem__ = get, item
os.environ.__class__.__iter__ = every
def refused(*args, **kwargs):
    raise AssertionError("a socket while importing")
socket.socket = refused
"""
            + DECLARE
            + """
print(read, threading.active_count())
""",
            AWS_REGION="eu-west-1",
            DYNAMODB_ENDPOINT_URL="http://nowhere",
            DYNAMODB_TIMEZONE="Nowhere/Atall",
            ENVIRONMENT="nonsense",
        )
        == "[] 1"
    )


def test_a_repository_needs_no_network_and_no_credentials_until_it_is_used() -> None:
    assert (
        run(
            DECLARE
            + """
import sys
orders = Orders(d.DynamoDBConfig(region_name="us-east-1"))
print(orders.query("a").explain()["TableName"], "boto3" in sys.modules, "botocore" in sys.modules)
"""
        )
        == "dev_orders False False"
    )


def test_the_package_is_typed_and_has_a_version() -> None:
    assert (ROOT / "dynamodb_wrapper" / "py.typed").exists()
    assert dynamodb_wrapper.__version__
    assert dynamodb_wrapper.__doc__
