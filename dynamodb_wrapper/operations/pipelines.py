"""What the repositories of pipelines and their tables share."""

from __future__ import annotations

from dynamodb_wrapper.codec import Derived

IS_ACTIVE = "yes"


def _activity(is_active: object) -> str | None:
    return IS_ACTIVE if is_active else None


ACTIVE = Derived("active", ("is_active",), _activity)
"""A key attribute that only active items have: DynamoDB keys are no booleans, and inactive items need no index."""


def given(**changes: object) -> dict[str, object]:
    """Return the changes that are not None."""
    return {name: value for name, value in changes.items() if value is not None}
