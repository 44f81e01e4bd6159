"""Whether Spark can be used here, and what is missing if it cannot; imports nothing of it by itself."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from importlib import metadata

from dynamodb_wrapper.exceptions import DynamoDBWrapperError

_EXTRA = "pip install 'dynamodb-wrapper[spark]'"
_OLDEST = (4, 1)


class SparkMissingError(DynamoDBWrapperError):
    """Spark, or what it needs, is not installed here; the message says what and how to get it."""


def require_spark() -> None:
    """Return if pyspark and pyarrow can be imported in versions that have what is needed.

    Raises:
        SparkMissingError: One of them is missing or too old.
    """
    for name in ("pyspark", "pyarrow"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SparkMissingError(f"{name} is not installed; {_EXTRA} brings it", error) from error
    version = metadata.version("pyspark")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST:
        raise SparkMissingError(f"pyspark {version} is too old: its data sources in Python need 4.1; {_EXTRA}")


def require_java() -> None:
    """Return if there is a Java to start Spark with; a Spark Connect client needs none.

    Raises:
        SparkMissingError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    if not (home and shutil.which("java", path=os.path.join(home, "bin"))) and shutil.which("java") is None:
        raise SparkMissingError("no Java was found: Spark 4 needs Java 17 or 21, on PATH or at JAVA_HOME")
