"""Settings: `DynamoDBConfig`."""

from __future__ import annotations

from dynamodb_wrapper.config.settings import DynamoDBConfig

__all__ = ["DynamoDBConfig"]
