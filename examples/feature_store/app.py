"""The web service: ``uvicorn examples.feature_store.app:app``, or ``python -m examples.feature_store``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response

from dynamodb_wrapper.integrations.fastapi import handle_errors, problem_responses
from examples.feature_store import store
from examples.feature_store.limits import BodyLimit
from examples.feature_store.messages import CategoriesRead, CategoryRead, Health, Read, Replaced, Write, Written
from examples.feature_store.settings import HEALTH_SECONDS, creates_tables, dynamodb
from examples.feature_store.tables import (
    AccountIdRepository,
    AccountPidRepository,
    BrightUidRepository,
    FeatureRepository,
    TableType,
)

REPOSITORIES = (BrightUidRepository, AccountIdRepository, AccountPidRepository)


async def all_tables(
    bright_uid: Annotated[BrightUidRepository, Depends(dynamodb.repository(BrightUidRepository))],
    account_id: Annotated[AccountIdRepository, Depends(dynamodb.repository(AccountIdRepository))],
    account_pid: Annotated[AccountPidRepository, Depends(dynamodb.repository(AccountPidRepository))],
) -> Mapping[TableType, FeatureRepository]:
    return {
        TableType.BRIGHT_UID: bright_uid,
        TableType.ACCOUNT_ID: account_id,
        TableType.ACCOUNT_PID: account_pid,
    }


Tables = Annotated[Mapping[TableType, FeatureRepository], Depends(all_tables)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with dynamodb.lifespan(app):
        if creates_tables():
            config = await dynamodb.config()
            await asyncio.gather(*(repository(config).ensure_table() for repository in REPOSITORIES))
        yield


api = APIRouter(prefix="/api/v1", responses=problem_responses(422, 500, 503, 504))


@api.post("/items/{identifier}", responses=problem_responses(413))
async def write_items(identifier: str, table_type: TableType, body: Write, tables: Tables) -> Written:
    """Replace the features of whole categories: of all that are sent, or of none.

    Sent is `{category: {feature: value}}`, or `{"data": {category: {feature: value}}, "metadata": {...}}`.
    """
    counts = await store.replace(tables[table_type], identifier, body)
    return Written(
        message=f"{len(counts)} {'category' if len(counts) == 1 else 'categories'} replaced",
        identifier=identifier,
        table_type=table_type,
        results={category: Replaced(feature_count=count) for category, count in counts.items()},
        total_features=sum(counts.values()),
    )


@api.get("/get/item/{identifier}/{category:path}", responses=problem_responses(404), response_model_exclude_unset=True)
async def read_item(identifier: str, category: str, table_type: TableType, tables: Tables) -> CategoryRead:
    """Read one category."""
    features = await store.read(tables[table_type], identifier, category)
    return CategoryRead.model_validate({table_type.value: identifier, "category": category, "features": features})


@api.post("/get/item/{identifier}", responses=problem_responses(404), response_model_exclude_unset=True)
async def read_items(identifier: str, table_type: TableType, body: Read, tables: Tables) -> CategoriesRead:
    """Read chosen features of chosen categories: sent is `{category: [feature]}`."""
    found = await store.read_some(tables[table_type], identifier, body)
    if not found:
        raise HTTPException(404, "None of the categories is there.")
    missing = {
        category: absent
        for category, wanted in body.items()
        if (absent := [name for name in wanted if category not in found or name not in found[category].data])
    }
    return CategoriesRead.model_validate({table_type.value: identifier, "features": found, "missing": missing})


@api.get("/health", responses={503: {"model": Health, "description": "DynamoDB or a table is not there."}})
async def health(tables: Tables, response: Response) -> Health:
    """Tell whether requests can be served; in two seconds at most, whatever DynamoDB does."""
    reports = await asyncio.gather(*(table.health_report(timeout_seconds=HEALTH_SECONDS) for table in tables.values()))
    available = [table_type for table_type, report in zip(tables, reports, strict=True) if report.healthy]
    is_healthy = len(available) == len(tables)
    if not is_healthy:
        response.status_code = 503
    return Health(
        status="healthy" if is_healthy else "unhealthy",
        dynamodb_connection=any(report.reachable for report in reports),
        tables_available=available,
        timestamp=datetime.now(UTC),
    )


app = FastAPI(title="Feature store", lifespan=lifespan)
app.add_middleware(BodyLimit)
app.include_router(api)
handle_errors(app, http_errors=True)
