"""How a configuration becomes botocore sessions, clients and boto3 objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.transport import embedded
from dynamodb_wrapper.transport.errors import Endpoint, from_botocore
from dynamodb_wrapper.transport.observers import Server

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.session import Session
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource

    from dynamodb_wrapper.config import DynamoDBConfig

_EMBEDDED_URL = "http://embedded.invalid"  # a name that cannot resolve: whatever goes wrong, nothing leaves the process
_EMBEDDED_REGION = "us-east-1"
_PORTS = {"http": 80, "https": 443}

_loaders: dict[object, Any] = {}


@contextmanager
def our_errors(config: DynamoDBConfig) -> Iterator[None]:
    """Turn what botocore raises while sessions and clients are made into our errors."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise from_botocore(error, None, endpoint_of(config)) from error
    except ValueError as error:
        if "Invalid endpoint" not in str(error):
            raise
        raise ValidationError(str(error), {"endpoint_url": "not a URL"}, error) from error


def endpoint_of(config: DynamoDBConfig, place: BaseClient | str = "the region's endpoint") -> Endpoint:
    """Return where requests go, for messages; the place is that of a client, or a text."""
    url = config.endpoint_url or (place if isinstance(place, str) else place.meta.endpoint_url)
    return Endpoint(url, config.connect_timeout_seconds, config.timeout_seconds)


def server_of(config: DynamoDBConfig, client: BaseClient | None, endpoint: Endpoint | None = None) -> Server:
    """Return where requests go, for observers; what nobody knows before there is a client or a route is None."""
    region, url = config.region_name, config.endpoint_url
    if client is not None:
        region, url = client.meta.region_name, url or client.meta.endpoint_url
    elif endpoint is not None:
        url = endpoint.url
    if url is None or config.is_embedded:
        return Server(None, None, region)
    parts = urlsplit(url)
    return Server(parts.hostname, parts.port or _PORTS.get(parts.scheme), region)


def new_session(config: DynamoDBConfig) -> Session:
    """Return a botocore session with the configuration's credentials: its own, else its profile's, else AWS's chain."""
    from botocore.session import Session

    if config.aws_access_key_id is None or config.aws_secret_access_key is None:
        if config.is_embedded:
            return _session_without_profile("embedded", "embedded", None)
        return _with_shared_loader(Session(profile=config.profile_name))
    token = config.aws_session_token
    keys = (
        config.aws_access_key_id,
        config.aws_secret_access_key.get_secret_value(),
        token.get_secret_value() if token is not None else None,
    )
    if config.profile_name is None or config.is_embedded:
        return _session_without_profile(*keys)
    session = Session(profile=config.profile_name)  # for what the configuration leaves open, such as the region
    session.set_credentials(*keys)
    return _with_shared_loader(session)


def _session_without_profile(key: str, secret: str, token: str | None) -> Session:
    from botocore.session import Session

    # botocore would read AWS_PROFILE, and refuse to work when that profile does not exist, though it is not needed.
    session = Session(session_vars={"profile": (None, None, None, None)})
    session.set_credentials(key, secret, token)
    return _with_shared_loader(session)


def _with_shared_loader(session: Session) -> Session:
    # Reading DynamoDB's model takes botocore 80 ms, once per session unless the loader, with its cache, is shared.
    path = session.get_config_variable("data_path")
    loader = _loaders.setdefault(path, session.get_component("data_loader"))
    session.register_component("data_loader", loader)
    return session


def new_lane_client(session: Session, config: DynamoDBConfig, service: str = "dynamodb") -> BaseClient:
    """Return the client under a lane: one attempt per call, no validation of requests, answers checked."""
    from dynamodb_wrapper.transport.botocore_lane import note_sending, verify_answers
    from dynamodb_wrapper.transport.parsing import Parsing
    from dynamodb_wrapper.transport.shortcuts import take_shortcuts

    client: BaseClient = session.create_client(
        service, config=_botocore_config(config, attempts=1, parameter_validation=False), **_place(config)
    )
    parsing = Parsing(client)
    verify_answers(client, parsing)
    note_sending(client)
    take_shortcuts(client, parsing)
    return _embedded_if_asked(client, config)


def no_credentials(config: DynamoDBConfig) -> DynamoDBWrapperError:
    """Return the error of a request that there are no credentials for."""
    from botocore.exceptions import NoCredentialsError

    return from_botocore(NoCredentialsError(), None, endpoint_of(config))


def new_boto3_session(session: Session) -> boto3.Session:
    """Return a boto3 session over a botocore session."""
    import boto3

    return boto3.Session(botocore_session=session)


def new_boto3_client(session: boto3.Session, config: DynamoDBConfig) -> DynamoDBClient:
    """Return boto3's DynamoDB client for users: with its own retries and validation."""
    client = session.client("dynamodb", config=_botocore_config(config, attempts=config.max_attempts), **_place(config))
    _embedded_if_asked(client, config)
    return client


def new_boto3_resource(session: boto3.Session, config: DynamoDBConfig) -> DynamoDBServiceResource:
    """Return boto3's DynamoDB resource for users: with its own retries and validation."""
    resource = session.resource(
        "dynamodb", config=_botocore_config(config, attempts=config.max_attempts), **_place(config)
    )
    _embedded_if_asked(resource.meta.client, config)
    return resource


def _botocore_config(config: DynamoDBConfig, *, attempts: int, parameter_validation: bool = True) -> Config:
    from botocore.config import Config

    return Config(
        parameter_validation=parameter_validation,
        tcp_keepalive=True,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=config.connect_timeout_seconds,
        read_timeout=config.timeout_seconds,
        max_pool_connections=config.max_pool_connections,
    )


def _place(config: DynamoDBConfig) -> dict[str, Any]:
    if config.is_embedded:
        return {"region_name": config.region_name or _EMBEDDED_REGION, "endpoint_url": _EMBEDDED_URL}
    return {"region_name": config.region_name, "endpoint_url": config.endpoint_url}


def _embedded_if_asked(client: BaseClient, config: DynamoDBConfig) -> BaseClient:
    if config.is_embedded and config.endpoint_url is not None:
        embedded.attach(client, config.endpoint_url.partition("://")[2])
    return client
