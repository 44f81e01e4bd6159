"""FastAPI: repositories as dependencies, errors as problem details (RFC 9457), pages with cursors.

::

    dynamodb = DynamoDB(DynamoDBConfig.from_env())
    Orders = Annotated[AsyncOrderRepository, Depends(dynamodb.repository(AsyncOrderRepository))]

    app = FastAPI(lifespan=dynamodb.lifespan, responses=problem_responses(500, 503, 504))
    handle_errors(app)


    @app.get("/orders/{order_id}", responses=problem_responses(404))
    async def read_order(order_id: str, orders: Orders) -> Order:
        return await orders.get_or_raise(order_id)
"""

from __future__ import annotations

from dynamodb_wrapper.exceptions import DynamoDBWrapperError

try:
    import fastapi  # noqa: F401 - to say what to install, whatever below would fail first
except ImportError as missing:
    raise DynamoDBWrapperError(
        "FastAPI is not installed: pip install 'dynamodb-wrapper[fastapi]'", missing
    ) from missing

from dynamodb_wrapper.integrations.fastapi.dependencies import DynamoDB, RepositoryDependency
from dynamodb_wrapper.integrations.fastapi.handlers import handle_errors
from dynamodb_wrapper.integrations.fastapi.pages import Page, PageQuery
from dynamodb_wrapper.integrations.fastapi.problems import FieldProblem, Problem, problem_responses

__all__ = [
    "DynamoDB",
    "FieldProblem",
    "Page",
    "PageQuery",
    "Problem",
    "RepositoryDependency",
    "handle_errors",
    "problem_responses",
]
