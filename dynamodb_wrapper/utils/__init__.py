"""Small things every floor may use: time zones."""

from __future__ import annotations

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

__all__ = [
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
