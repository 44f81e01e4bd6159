"""What the feature store does, on a repository."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import HTTPException

from dynamodb_wrapper import F, ItemNotFoundError, PartialItem, ValidationError
from dynamodb_wrapper.codec import MAX_ITEM_BYTES, ModelCodec, item_bytes
from dynamodb_wrapper.repositories import async_transact_write
from examples.feature_store.messages import CategoryToWrite, FeaturesRead, Metadata, MetadataRead, Write
from examples.feature_store.tables import FeatureRepository, FeatureSet

MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
"""AWS, "Quotas": the most that the items of a transaction take together."""
MAX_PROJECTED = 200
"""So many names surely fit into the 4 KB of a projection; for more, whole items are read."""

_METADATA = ("category", "source", "compute_id", "ttl", "created_at", "updated_at")


async def replace(repository: FeatureRepository, identifier: str, write: Write) -> dict[str, int]:
    """Replace the features of all of the categories, or of none; return how many each has now.

    Each is one ``UpdateItem`` that keeps ``created_at`` where there is one (``if_not_exists``) and moves
    ``updated_at``: nothing is read before, so there is nothing that another writer could change meanwhile.
    """
    changes = {category: _changes(given, write.metadata) for category, given in write.data.items()}
    _refuse_too_much(changes)
    if len(changes) == 1:
        ((category, fields),) = changes.items()
        await repository.patch(identifier, category, upsert=True, **fields)
    else:
        await async_transact_write(
            repository.patch_request(identifier, category, upsert=True, **fields)
            for category, fields in changes.items()
        )
    return {category: len(given.data) for category, given in write.data.items()}


async def read(repository: FeatureRepository, identifier: str, category: str) -> FeaturesRead:
    """Return the features of one category.

    Raises:
        ItemNotFoundError: There are none, or they have expired.
    """
    found = await repository.get_or_raise(identifier, category)
    if _is_expired(found.ttl):
        raise ItemNotFoundError(repository.table_name, {"category": category})
    return _answer(found.features, dict(found))


async def read_some(
    repository: FeatureRepository, identifier: str, wanted: Mapping[str, Iterable[str]]
) -> dict[str, FeaturesRead]:
    """Return the wanted features of the categories that there are, read in one batch.

    A batch has one projection for all of its items: it asks for every feature that is wanted of any of them.
    """
    names = {name: None for features in wanted.values() for name in features}
    projected = [F.features[name] for name in names] if len(names) <= MAX_PROJECTED else [F.features]
    keys = [(identifier, category) for category in wanted]
    found = await repository.get_many(keys, attributes=[*_METADATA, *projected])
    return {
        item["category"]: _answer(_chosen(item, wanted[item["category"]]), item)
        for item in found
        if item is not None and not _is_expired(item.get("ttl"))
    }


def _changes(given: CategoryToWrite, common: Metadata) -> dict[str, Any]:
    metadata = given.metadata or common
    return {
        "features": given.data,
        "source": metadata.source,
        "compute_id": metadata.compute_id,  # None removes what was there: all of it is replaced
        "ttl": metadata.ttl,
    }


def _refuse_too_much(changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what DynamoDB would refuse, while it can still be said which category it is.

    Raises:
        HTTPException: An item would take over 400 KB, or all of them over 4 MB.
        ValidationError: A value cannot be stored, such as NaN or a number of 40 digits; names the feature.
    """
    total = 0
    for category, fields in changes.items():
        try:
            size = item_bytes(ModelCodec.shared(FeatureSet).encode(FeatureSet(category=category, **fields)))
        except ValidationError as error:
            errors = {f"{category}.{field}": reason for field, reason in error.errors.items()}
            raise ValidationError(error.message, errors, error) from error
        if size > MAX_ITEM_BYTES:
            raise HTTPException(413, f"category {category!r} takes {size:,} bytes, and may take {MAX_ITEM_BYTES:,}")
        total += size
    if total > MAX_TRANSACTION_BYTES:
        raise HTTPException(
            413, f"the categories take {total:,} bytes together, and may take {MAX_TRANSACTION_BYTES:,}"
        )


def _chosen(item: PartialItem, wanted: Iterable[str]) -> dict[str, Any]:
    features = item.get("features", {})
    return {name: features[name] for name in wanted if name in features}


def _answer(features: Mapping[str, Any], item: Mapping[str, Any]) -> FeaturesRead:
    metadata = {name: item.get(name) for name in MetadataRead.model_fields}
    return FeaturesRead(data=dict(features), metadata=MetadataRead.model_validate(metadata))


def _is_expired(ttl: int | None) -> bool:
    """Whether DynamoDB is about to delete it: that takes it up to some days."""
    return ttl is not None and ttl <= time.time()
