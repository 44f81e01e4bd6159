"""Where the tables are: ``FEATURE_STORE_ENDPOINT`` is embedded (the default), aws, or the address of a server."""

from __future__ import annotations

import os

from dynamodb_wrapper import DynamoDBConfig
from dynamodb_wrapper.integrations.fastapi import DynamoDB

ENDPOINT = "FEATURE_STORE_ENDPOINT"
CREATE_TABLES = "FEATURE_STORE_CREATE_TABLES"

HEALTH_SECONDS = 2.0
"""How long an answer about health may take."""
REQUEST_SECONDS = 5.0
"""How long a request may wait for DynamoDB, all retries included."""


def config_for(endpoint: str) -> DynamoDBConfig:
    """Return the configuration of a server."""
    if endpoint == "embedded":
        return DynamoDBConfig.embedded("feature-store")
    settings: dict[str, object] = {"deadline_seconds": REQUEST_SECONDS}
    if endpoint == "aws":
        config = DynamoDBConfig.from_env()
    else:
        config = DynamoDBConfig.for_local_development()
        settings["endpoint_url"] = endpoint
    return config.model_copy(update=settings)


config = config_for(os.environ.get(ENDPOINT, "embedded"))
dynamodb = DynamoDB(config, connections=4)


def creates_tables() -> bool:
    """Whether missing tables are made when the service starts."""
    return config.is_embedded or os.environ.get(CREATE_TABLES) == "yes"
