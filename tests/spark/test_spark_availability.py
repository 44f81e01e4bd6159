"""Without Spark: nothing of it is imported, and what is missing is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynamodb_wrapper.spark import SparkMissingError, register, require_java, require_spark, spark_schema
from tests.spark.shop import Order


@pytest.mark.parametrize("module", ["dynamodb_wrapper", "dynamodb_wrapper.spark"])
def test_importing_imports_nothing_of_spark(module: str) -> None:
    code = f"import sys, {module}; print([n for n in ('pyspark', 'pyarrow', 'pandas', 'boto3') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pyspark", "pyarrow"])
def test_what_is_missing_is_named_with_the_way_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", sys)
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"{name} is not installed; pip install 'dynamodb-wrapper\[spark\]' brings it"
    for use in (require_spark, lambda: register(None), lambda: spark_schema(Order)):  # type: ignore[arg-type]
        with pytest.raises(SparkMissingError, match=message):
            use()


def test_a_pyspark_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", sys)
    monkeypatch.setitem(sys.modules, "pyarrow", sys)
    monkeypatch.setattr("dynamodb_wrapper.spark.availability.metadata.version", lambda name: "4.0.1")
    with pytest.raises(SparkMissingError, match=r"4\.0\.1 is too old"):
        require_spark()


def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkMissingError, match="Java 17"):
        require_java()
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin/java"
    java.touch(mode=0o755)
    require_java()
