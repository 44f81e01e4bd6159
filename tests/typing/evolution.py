"""What type checkers see of schema versions and migrations."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from dynamodb_wrapper import AsyncBaseDynamoRepository, BaseDynamoRepository, DynamoDBConfig
from dynamodb_wrapper.codec import SchemaOptions
from dynamodb_wrapper.exceptions import SchemaVersionError
from dynamodb_wrapper.operations.copies import CopyReport
from dynamodb_wrapper.operations.migrations import MigrationReport


class User(BaseModel):
    id: str
    name: str


class Member(BaseModel):
    team: str
    name: str


class Users(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    schema_version = 3
    schema_options = SchemaOptions(newer_versions="read", write_back=True)

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return item

    def upcast_v2_v3(self, item: dict[str, Any]) -> dict[str, Any]:
        return item


class Members(BaseDynamoRepository[Member]):
    table_name = "members"
    primary_key = "team"


class AsyncUsers(AsyncBaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"


class AsyncMembers(AsyncBaseDynamoRepository[Member]):
    table_name = "members"
    primary_key = "team"


def member(user: User) -> Member | None:
    return Member(team="t", name=user.name) if user.name else None


def other(member: Member) -> Member:
    return member


def told(report: MigrationReport) -> None:
    assert_type(report.checkpoint, str | None)
    assert_type(report.rewritten, int)
    bar(report)


def bar(report: MigrationReport | CopyReport) -> None:
    assert_type(report.evaluated, int)
    assert_type(report.estimated_total, int | None)
    assert_type(report.fraction, float | None)
    assert_type((report.seconds, report.items_per_second, report.units_per_second), tuple[float, float, float])


def migrations(config: DynamoDBConfig) -> None:
    users, members = Users(config), Members(config)
    assert_type(users.migrate(dry_run=True, units_per_second=5, progress=told), MigrationReport)
    assert_type(users.copy_to(members, member, progress=bar), CopyReport)
    assert_type(users.compare_with(members, lambda user: Member(team=user.id, name=user.name)), CopyReport)
    users.copy_to(members, other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.migrate(True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def async_migrations(config: DynamoDBConfig) -> None:
    users, members = AsyncUsers(config), AsyncMembers(config)
    assert_type(await users.migrate(checkpoint="x"), MigrationReport)
    assert_type(await users.copy_to(members, member, segments=2), CopyReport)


def refused(error: SchemaVersionError) -> None:
    assert_type(error.key, dict[str, object] | None)
    assert_type(error.known, int)
    SchemaOptions(newer_versions="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
