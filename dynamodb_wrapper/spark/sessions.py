"""Spark sessions: new ones, and ones beside a session that is there already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dynamodb_wrapper.models import PipelineConfig
from dynamodb_wrapper.spark.availability import require_java, require_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)


def session_settings(pipeline: PipelineConfig, additional: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return Spark's settings for a pipeline, by Spark's names, values as text.

    Its resources (``cpu_cores``, ``memory_gb``) give ``spark.executor.cores`` and ``spark.executor.memory``; what its
    ``spark_config`` says wins over these, and ``additional`` over both.
    """
    settings: dict[str, object] = {"spark.app.name": pipeline.pipeline_name}
    if pipeline.cpu_cores is not None:
        settings["spark.executor.cores"] = pipeline.cpu_cores
    if pipeline.memory_gb is not None:
        settings["spark.executor.memory"] = f"{max(1, int(pipeline.memory_gb * 1024))}m"
    settings.update(pipeline.spark_config)
    settings.update(additional or {})
    return settings_of(settings)


def settings_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Return settings as Spark wants them: as text, without those that are None."""
    return {name: _text(value) for name, value in settings.items() if value is not None}


def open_session(settings: Mapping[str, str]) -> SparkSession:
    """Return a session with these settings, and with the data source ``dynamodb``.

    If Spark runs in this process already, it is a session beside the one that is there: with the same application, and
    settings, temporary views and functions of its own. Settings that belong to the application (cores, memory, jars)
    cannot be changed then; a warning names those that differ.

    Raises:
        SparkMissingError: Spark or Java is not installed.
    """
    require_spark()
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    from dynamodb_wrapper.spark.registration import register

    if SparkContext._active_spark_context is None:
        require_java()
        builder = SparkSession.builder
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
    else:
        session = _beside(SparkSession.builder.getOrCreate(), settings)
    register(session)
    return session


def _beside(existing: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    session = existing.newSession()
    fixed: list[str] = []
    for name, value in settings.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
        elif name != "spark.app.name" and existing.sparkContext.getConf().get(name) != value:
            fixed.append(name)
    if fixed:
        _log.warning("Spark runs in this process already, so these settings have no effect: %s", ", ".join(fixed))
    return session


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
