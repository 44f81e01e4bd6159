"""A configuration as environment variables."""

from __future__ import annotations

from dynamodb_wrapper.config import DynamoDBConfig


def variables_of(config: DynamoDBConfig) -> dict[str, str | None]:
    """Return the variables by which ``DynamoDBConfig.from_env()`` goes to the same place; None for one to be unset."""
    secret, token = config.aws_secret_access_key, config.aws_session_token
    return {
        "DYNAMODB_ENDPOINT_URL": config.endpoint_url,
        "DYNAMODB_TABLE_PREFIX": config.table_prefix,
        "DYNAMODB_ENVIRONMENT": config.environment,
        "AWS_REGION": config.region_name,
        "AWS_PROFILE": config.profile_name,
        "AWS_ACCESS_KEY_ID": config.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": None if secret is None else secret.get_secret_value(),
        "AWS_SESSION_TOKEN": None if token is None else token.get_secret_value(),
    }
