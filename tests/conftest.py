"""What every test has: a clean environment, and real servers on request."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests import servers

pytest_plugins = ["dynamodb_wrapper.testing.plugin"]  # here, and not by its entry point: see pyproject.toml

hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("wide", deadline=None, max_examples=3000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure() -> None:
    """A suite that is started in the background ignores Ctrl-C, and so would the programs that its tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees, or depends on, the AWS account and the settings of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "DYNAMODB_")) or name == "ENVIRONMENT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """A configuration with ``debug_logging`` turns the log on for the process; the next test has it off again."""
    logger = logging.getLogger("dynamodb_wrapper.transport")
    level = logger.level
    yield
    logger.setLevel(level)


def _running(name: str) -> Iterator[servers.RunningServer]:
    try:
        with servers.STARTERS[name]() as running:
            yield running
    except servers.ServerMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{name}: {missing}")


@pytest.fixture(scope="session")
def moto_server() -> Iterator[servers.RunningServer]:
    """moto, one process for the session (for the worker, under xdist)."""
    yield from _running("moto")


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[servers.RunningServer]:
    """ministack, likewise; for cases that need item locks, streams, TTL or consumed capacity."""
    yield from _running("ministack")


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[servers.RunningServer]:
    """The server inside this process."""
    yield from _running("embedded")


@pytest.fixture(scope="session")
def endpoint_server() -> Iterator[servers.RunningServer]:
    """The server at DYNAMODB_ENDPOINT_URL."""
    yield from _running("endpoint")


@pytest.fixture(scope="session")
def aws_server() -> Iterator[servers.RunningServer]:
    """AWS, with the account of the environment."""
    yield from _running("aws")
