"""Small things every floor may use: time zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported
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
else:  # of the highest floor, and known here by an old name of its place
    __getattr__, __dir__ = exported(__name__, {"dynamodb_wrapper.spark": "SparkDynamoDBIntegration"})

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
