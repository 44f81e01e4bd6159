"""Small things every floor may use: time zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.timezone import (
    TimezoneManager,
    configure_timezone_from_config,
    convert_utc_to_user_tz,
    ensure_timezone_aware,
    get_timezone_manager,
    now_in_tz,
    set_global_timezone,
    to_user_timezone,
    to_utc,
    utcnow,
    validate_timezone_string,
)

if TYPE_CHECKING:
    from dynamodb_wrapper.spark import SparkDynamoDBIntegration

__all__ = [
    "SparkDynamoDBIntegration",
    "TimezoneManager",
    "configure_timezone_from_config",
    "convert_utc_to_user_tz",
    "ensure_timezone_aware",
    "get_timezone_manager",
    "now_in_tz",
    "set_global_timezone",
    "to_user_timezone",
    "to_utc",
    "utcnow",
    "validate_timezone_string",
]


def __getattr__(name: str) -> object:
    if name == "SparkDynamoDBIntegration":  # of the highest floor: it is known here by an old name of its place
        from dynamodb_wrapper.spark import SparkDynamoDBIntegration

        return SparkDynamoDBIntegration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
