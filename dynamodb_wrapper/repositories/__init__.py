"""Repositories: models in, models out."""

from __future__ import annotations

from dynamodb_wrapper.repositories.base import BaseDynamoRepository
from dynamodb_wrapper.repositories.patterns import AccessPattern, BoundAccessPattern
from dynamodb_wrapper.repositories.query import Query

__all__ = ["AccessPattern", "BaseDynamoRepository", "BoundAccessPattern", "Query"]
