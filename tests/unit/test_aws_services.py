"""Clients of other AWS services: lazy, cached, replaceable; no request is sent here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.transport import (
    AWSServices,
    aws_services,
    configure,
    drop_embedded,
    get_bedrock_client,
    get_cognito_client,
    get_dynamodb_resource,
    get_s3_client,
    get_table,
    reset_connection,
)


class Fake:
    """A stand-in for a client."""


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    configure(None)
    yield
    configure(None)
    aws_services.close()
    reset_connection()


@pytest.fixture
def services() -> Iterator[AWSServices]:
    services = AWSServices()
    yield services
    services.close()


@pytest.mark.parametrize(
    ("attribute", "service"),
    [
        ("cognito_client", "cognito-idp"),
        ("bedrock_client", "bedrock-runtime"),
        ("bedrock_agent_runtime_client", "bedrock-agent-runtime"),
        ("s3_client", "s3"),
        ("sns_client", "sns"),
        ("dynamodb_client", "dynamodb"),
    ],
)
def test_each_property_is_that_services_client(services: AWSServices, attribute: str, service: str) -> None:
    client = getattr(services, attribute)
    assert client.meta.service_model.service_name == service
    assert client.meta.region_name == "eu-west-1"
    assert getattr(services, attribute) is client
    assert services.client(service) is client


def test_the_functions_give_the_shared_objects_clients() -> None:
    assert get_cognito_client() is aws_services.cognito_client
    assert get_bedrock_client() is aws_services.bedrock_client
    assert get_s3_client() is aws_services.s3_client
    assert get_dynamodb_resource() is aws_services.dynamodb_resource
    assert aws_services.get_table("orders") is get_table("orders")


def test_threads_that_come_first_together_make_one_client(services: AWSServices) -> None:
    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(lambda _: services.client("sqs"), range(32)))
    assert len({id(client) for client in clients}) == 1


def test_the_configurations_credentials_and_region_are_used(services: AWSServices) -> None:
    configure(DynamoDBConfig(aws_access_key_id="AKID", aws_secret_access_key="s", region_name="eu-central-1"))
    client = services.client("sqs")
    assert client.meta.region_name == "eu-central-1"
    assert client._request_signer._credentials.access_key == "AKID"


def test_credentials_of_a_local_dynamodb_are_not_shown_to_aws(
    services: AWSServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(DynamoDBConfig.for_local_development())
    assert services.client("sqs")._request_signer._credentials is None
    services.close()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "REAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "REAL")
    assert services.client("sqs")._request_signer._credentials.access_key == "REAL"


def test_dynamodb_is_the_default_connections(services: AWSServices) -> None:
    name = f"test-{uuid4().hex}"
    configure(DynamoDBConfig.embedded(name))
    assert services.dynamodb_client.list_tables()["TableNames"] == []
    assert list(services.dynamodb_resource.tables.all()) == []
    drop_embedded(name)


def test_an_override_counts_inside_its_block_and_makes_no_client(services: AWSServices) -> None:
    fake = Fake()
    with services.override("no-such-service", fake) as given:
        assert given is fake
        assert services.client("no-such-service") is fake
    with pytest.raises(DynamoDBWrapperError, match="no-such-service"):
        services.client("no-such-service")


def test_overrides_nest_and_the_client_made_before_comes_back(services: AWSServices) -> None:
    real, outer, inner = services.s3_client, Fake(), Fake()
    with services.override("s3", outer):
        with services.override("s3", inner), services.override("sns", inner):
            assert services.s3_client is services.sns_client is inner
        with services.override("s3", outer):
            assert services.s3_client is outer
        assert services.s3_client is outer
    assert services.s3_client is real


def test_an_override_ends_with_an_error_too(services: AWSServices) -> None:
    with pytest.raises(RuntimeError), services.override("s3", Fake()):
        raise RuntimeError
    assert not isinstance(services.s3_client, Fake)


def test_overrides_that_end_out_of_order(services: AWSServices) -> None:
    first, second = services.override("s3", "first"), services.override("s3", "second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert services.s3_client == "second"
    second.__exit__(None, None, None)
    assert not isinstance(services.s3_client, str)


def test_the_dynamodb_resource_can_be_overridden(services: AWSServices) -> None:
    class FakeResource:
        def Table(self, name: str) -> str:  # noqa: N802 - boto3's name
            return f"table {name}"

    with services.override("dynamodb-resource", FakeResource()) as fake:
        assert services.dynamodb_resource is fake
        assert services.get_table("orders") == "table orders"
    with services.override("dynamodb", fake):
        assert services.dynamodb_client is fake


def test_an_unknown_service_and_a_missing_region_are_our_errors(
    services: AWSServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DynamoDBWrapperError, match="no service named 'sqz'"):
        services.client("sqz")
    monkeypatch.delenv("AWS_REGION")
    reset_connection()
    with pytest.raises(ValidationError, match="AWS_REGION"):
        services.client("sqs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_makes_its_own_clients(services: AWSServices) -> None:
    parents = services.s3_client
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if services.s3_client is not parents else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert services.s3_client is parents


def test_importing_makes_no_client() -> None:
    program = "import sys; from dynamodb_wrapper.transport import aws_services; print('botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
