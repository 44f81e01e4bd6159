"""What is stored: one item for each identifier and category, in a table for each kind of identifier."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, JsonValue

from dynamodb_wrapper import AsyncBaseDynamoRepository


class TableType(StrEnum):
    """The kinds of identifiers; each is the name of its table and of the table's partition key."""

    BRIGHT_UID = "bright_uid"
    ACCOUNT_ID = "account_id"
    ACCOUNT_PID = "account_pid"


class FeatureSet(BaseModel):
    """The features of one category, as they were written together."""

    category: str
    features: dict[str, JsonValue]
    source: str
    compute_id: str | None = None
    ttl: int | None = None  # seconds since 1970
    created_at: datetime | None = None
    updated_at: datetime | None = None


class BrightUidFeatures(FeatureSet):
    bright_uid: str


class AccountIdFeatures(FeatureSet):
    account_id: str


class AccountPidFeatures(FeatureSet):
    account_pid: str


class BrightUidRepository(AsyncBaseDynamoRepository[BrightUidFeatures]):
    table_name = TableType.BRIGHT_UID.value
    primary_key = "bright_uid"
    sort_key = "category"
    ttl_attribute = "ttl"


class AccountIdRepository(AsyncBaseDynamoRepository[AccountIdFeatures]):
    table_name = TableType.ACCOUNT_ID.value
    primary_key = "account_id"
    sort_key = "category"
    ttl_attribute = "ttl"


class AccountPidRepository(AsyncBaseDynamoRepository[AccountPidFeatures]):
    table_name = TableType.ACCOUNT_PID.value
    primary_key = "account_pid"
    sort_key = "category"
    ttl_attribute = "ttl"


FeatureRepository = BrightUidRepository | AccountIdRepository | AccountPidRepository
