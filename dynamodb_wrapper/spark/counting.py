"""Counting the rows of a frame while Spark writes it, instead of computing it twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation

_LONGEST_WAIT_SECONDS = 5.0
"""For the count after the write is over: it comes over Spark's listener bus, a moment later."""

_PAUSE_SECONDS = 0.02

_observations: WeakKeyDictionary[DataFrame, Observation] = WeakKeyDictionary()


def observed(df: DataFrame) -> DataFrame:
    """Return the same rows, as a frame whose rows are counted by the first action on it."""
    from pyspark.sql import Observation
    from pyspark.sql.functions import count, lit

    observation = Observation(f"rows-{uuid4().hex}")
    counted = df.observe(observation, count(lit(1)).alias("rows"))
    _observations[counted] = observation
    return counted


def counted_rows(df: DataFrame) -> int | None:
    """Return how many rows the first action on a frame saw; None if it is not `observed`, or there was no action."""
    observation = _observations.get(df)
    if observation is None:
        return None
    until = time.monotonic() + _LONGEST_WAIT_SECONDS
    while not _is_over(observation):  # asking it would wait for ever if there was no action
        if time.monotonic() > until:
            return None
        time.sleep(_PAUSE_SECONDS)
    return int(observation.get["rows"])


def _is_over(observation: Any) -> bool:
    return observation._jo is not None and bool(observation._jo.future().isCompleted())
