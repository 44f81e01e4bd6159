"""What document-level clients of both colours share: the configuration, the pool, the limits, and being destroyed."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from dynamodb_wrapper.codec.documents import DocumentCodec
from dynamodb_wrapper.codec.wire import TimeRules
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ConnectionError, ValidationError
from dynamodb_wrapper.operations.documents import Documents
from dynamodb_wrapper.transport import Connection, connection_for
from dynamodb_wrapper.transport.deadlines import checked_timeout
from dynamodb_wrapper.transport.retry import checked_attempts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
else:
    DynamoDBClient = Any  # those who ask for type hints need not have the stubs

DESTROYED = "this client was destroyed; get_dynamodb_client() makes another"


class ClientFoundation:
    """What clients of both colours are made of.

    Attributes:
        config: The configuration.
    """

    def __init__(self, config: DynamoDBConfig) -> None:
        """Use a configuration; nothing is opened before the first request.

        Raises:
            ValidationError: ``config`` is no `DynamoDBConfig`.
        """
        if not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"a {type(self).__name__} takes a DynamoDBConfig, not {type(config).__name__}")
        times = TimeRules.of(
            assumed=config.default_timezone, stored_in_utc=config.store_timestamps_in_utc, shown=config.user_timezone
        )
        self.config = config
        self._pool = connection_for(config)
        self._documents = Documents(DocumentCodec(times))
        self._destroyed = False
        self._timeout: float | None = None
        self._max_attempts: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pool!r}{', destroyed' if self._destroyed else ''})"

    def with_options(self, *, timeout: float | None = None, max_attempts: int | None = None) -> Self:
        """Return this client with other limits for its calls, over the same pool and retry quota; see repositories.

        Args:
            timeout: Seconds for a call as a whole, its retries and their delays included; ``math.inf`` for no limit,
                None for that of this client.
            max_attempts: How often a request is sent at most, the first time included; None for that of this client.

        Raises:
            ValidationError: A limit is not a number in its range.
        """
        limited = copy(self)
        limited._timeout = self._timeout if timeout is None else checked_timeout("timeout", timeout)
        limited._max_attempts = self._max_attempts if max_attempts is None else checked_attempts(max_attempts)
        return limited

    def get_client(self) -> DynamoDBClient:
        """Return boto3's own low-level client, values in wire form; it blocks, retries and raises as boto3 does."""
        return self._connection.boto3_client

    def get_document_client(self) -> DynamoDBClient:
        """Return boto3's own client that takes and gives plain values (``resource("dynamodb").meta.client``).

        It blocks, retries, converts and raises as boto3 does: no floats, numbers as Decimal, bytes as ``Binary``.
        """
        return self._connection.resource.meta.client

    @property
    def _connection(self) -> Connection:
        if self._destroyed:
            raise ConnectionError(DESTROYED)
        return self._pool
