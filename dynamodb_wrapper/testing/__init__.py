"""A testing kit: a pytest plugin with which users test their repositories, and what their code does on a bad day.

`plugin` has the fixtures, which pytest finds by itself. Here are the types of what they give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
    from dynamodb_wrapper.testing.clock import Clock
    from dynamodb_wrapper.testing.faults import Fault, Faults, Operation
    from dynamodb_wrapper.testing.requests import Requests, SentRequest
    from dynamodb_wrapper.testing.stage import Stage
    from dynamodb_wrapper.testing.tables import Tables
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.testing.clock": "Clock",
            "dynamodb_wrapper.testing.faults": "Fault Faults Operation",
            "dynamodb_wrapper.testing.requests": "Requests SentRequest",
            "dynamodb_wrapper.testing.stage": "Stage",
            "dynamodb_wrapper.testing.tables": "Tables",
        },
    )

__all__ = ["Clock", "Fault", "Faults", "Operation", "Requests", "SentRequest", "Stage", "Tables"]
