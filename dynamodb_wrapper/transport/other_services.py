"""boto3 clients for the other AWS services that a program with DynamoDB uses: made when first asked for, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.transport.clients import our_errors
from dynamodb_wrapper.transport.connection import Connection
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation
from dynamodb_wrapper.transport.singleton import DynamoDBSingleton

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table
else:
    DynamoDBServiceResource = Table = Any  # those who ask for type hints need not have the stubs

_RESOURCE = "dynamodb-resource"


class AWSServices:
    """Lazily made, cached, thread-safe boto3 clients, and stand-ins for them in tests.

    DynamoDB is reached through the process's default connection (`configure`). The other services use that
    configuration's credentials and region, unless it has an endpoint of its own (a local or embedded DynamoDB, whose
    credentials mean nothing to AWS): then AWS's normal chain.

    Clients are boto3's own objects, whose methods boto3 makes at run time; hence `Any`.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._clients: dict[tuple[str, Connection], Any] = {}
        self._generation = generation()
        self._overrides: dict[str, list[_StandIn]] = {}

    def client(self, name: str) -> Any:
        """Return the boto3 client of a service, by AWS's name of it (``"sqs"``); the same object each time.

        Raises:
            DynamoDBWrapperError: There is no service of that name, no region or no such profile.
        """
        with self._lock:
            if overrides := self._overrides.get(name):
                return overrides[-1].stand_in
            connection = DynamoDBSingleton().connection
            if name == "dynamodb":
                return connection.boto3_client
            if self._generation != generation():
                self._clients, self._generation = {}, generation()
            if (name, connection) not in self._clients:
                self._clients[name, connection] = _new_client(name)
            return self._clients[name, connection]

    @property
    def cognito_client(self) -> Any:
        """Cognito user pools (``cognito-idp``)."""
        return self.client("cognito-idp")

    @property
    def bedrock_client(self) -> Any:
        """Bedrock models (``bedrock-runtime``)."""
        return self.client("bedrock-runtime")

    @property
    def bedrock_agent_runtime_client(self) -> Any:
        """Bedrock agents and knowledge bases (``bedrock-agent-runtime``)."""
        return self.client("bedrock-agent-runtime")

    @property
    def s3_client(self) -> Any:
        """S3."""
        return self.client("s3")

    @property
    def sns_client(self) -> Any:
        """SNS."""
        return self.client("sns")

    @property
    def dynamodb_client(self) -> Any:
        """boto3's low-level DynamoDB client of the default configuration."""
        return self.client("dynamodb")

    @property
    def dynamodb_resource(self) -> DynamoDBServiceResource:
        """boto3's DynamoDB resource of the default configuration (``override`` calls it ``dynamodb-resource``)."""
        with self._lock:
            if overrides := self._overrides.get(_RESOURCE):
                resource: DynamoDBServiceResource = overrides[-1].stand_in
                return resource
        return DynamoDBSingleton().connection.resource

    def get_table(self, name: str) -> Table:
        """Return the boto3 `Table` of an alias or a physical name; of the overriding resource, if there is one."""
        with self._lock:
            if overrides := self._overrides.get(_RESOURCE):
                table: Table = overrides[-1].stand_in.Table(name)
                return table
        return DynamoDBSingleton().get_table(name)

    @contextmanager
    def override(self, name: str, stand_in: Any) -> Iterator[Any]:
        """Put a stand-in in the place of a service's client, for the whole process, while the block runs.

        Blocks may be nested, the innermost counts; the real client is not made.

        Args:
            name: AWS's name of the service, or ``"dynamodb-resource"``.
            stand_in: What to return instead, which is also what ``as`` gets.
        """
        entry = _StandIn(stand_in)
        with self._lock:
            self._overrides.setdefault(name, []).append(entry)
        try:
            yield stand_in
        finally:
            with self._lock:
                self._overrides[name].remove(entry)

    def close(self) -> None:
        """Close and forget the clients made so far (DynamoDB's belongs to its connection); later ones are new."""
        with self._lock:
            made, self._clients = self._clients, {}
        for client in made.values():
            client.close()


class _StandIn:
    """One override, told from others by identity: the same stand-in may be put in place twice."""

    def __init__(self, stand_in: Any) -> None:
        self.stand_in = stand_in


def _new_client(name: str) -> Any:
    import boto3
    from botocore.exceptions import UnknownServiceError

    singleton = DynamoDBSingleton()
    config: Any = singleton.config
    session: Any
    session = singleton.connection.boto3_session if config.endpoint_url is None else boto3.Session()
    with our_errors(config):
        try:
            return session.client(name, region_name=config.region_name)
        except UnknownServiceError as error:
            raise DynamoDBWrapperError(f"AWS has no service named {name!r}", error) from error


aws_services = AWSServices()


def get_cognito_client() -> Any:
    """Return boto3's client of Cognito user pools (``cognito-idp``)."""
    return aws_services.cognito_client


def get_dynamodb_resource() -> DynamoDBServiceResource:
    """Return boto3's DynamoDB resource of the default configuration."""
    return aws_services.dynamodb_resource


def get_bedrock_client() -> Any:
    """Return boto3's client of Bedrock models (``bedrock-runtime``)."""
    return aws_services.bedrock_client


def get_s3_client() -> Any:
    """Return boto3's client of S3."""
    return aws_services.s3_client
