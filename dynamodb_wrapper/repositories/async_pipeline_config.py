"""`AsyncPipelineConfigRepository`: how pipelines are set up."""

from __future__ import annotations

from dynamodb_wrapper.models import PipelineConfig
from dynamodb_wrapper.operations import items, patches
from dynamodb_wrapper.operations.pipelines import IS_ACTIVE, given
from dynamodb_wrapper.repositories.async_base import AsyncBaseDynamoRepository
from dynamodb_wrapper.repositories.pipeline_config import PipelineConfigTable


class AsyncPipelineConfigRepository(PipelineConfigTable, AsyncBaseDynamoRepository[PipelineConfig]):
    """Pipeline configurations, by id, by environment, and those that are active.

    The queries use global indexes, which DynamoDB keeps up to date within moments, not at once.

    Attributes:
        by_environment: ``by_environment("dev")``: the configurations of an environment, by id.
        active: ``active("yes")``: the active ones, by id. The attribute is there only while ``is_active`` is true, so
            inactive configurations are not in the index.
    """

    async def get_by_pipeline_id(self, pipeline_id: str, user_timezone: str | None = None) -> PipelineConfig | None:
        """Return the configuration of a pipeline, or None; datetimes are shown in ``user_timezone``."""
        return await self.get_with_timezone(pipeline_id, user_timezone=user_timezone)

    async def get_active_pipelines(self, user_timezone: str | None = None) -> list[PipelineConfig]:
        """Return the active configurations, by id."""
        return await self.active.shown_in(user_timezone)(IS_ACTIVE).all()

    async def get_pipelines_by_environment(
        self, environment: str, user_timezone: str | None = None
    ) -> list[PipelineConfig]:
        """Return the configurations of an environment, active or not, by id."""
        return await self.by_environment.shown_in(user_timezone)(environment).all()

    async def update_pipeline_status(
        self,
        pipeline_id: str,
        is_active: bool,  # noqa: FBT001 - the name and place users know
        updated_by: str | None = None,
        current_timezone: str | None = None,
    ) -> PipelineConfig:
        """Put a pipeline into use or out of it, and return the new configuration; nothing else is changed.

        Args:
            pipeline_id: The pipeline.
            is_active: Whether it is in use.
            updated_by: Who says so; None leaves the attribute alone.
            current_timezone: The zone in which the result's datetimes are shown.

        Raises:
            ItemNotFoundError: There is no such pipeline.
        """
        return await self._driver.run(
            patches.patch(
                self._entity.in_zones(shown=current_timezone),
                (pipeline_id, None),
                None,
                given(is_active=is_active, updated_by=updated_by),
                when=None,
                upsert=False,
            )
        )

    async def create_pipeline_config(
        self,
        pipeline_id: str,
        pipeline_name: str,
        source_type: str,
        destination_type: str,
        created_by: str | None = None,
        current_timezone: str | None = None,
        **fields: object,
    ) -> PipelineConfig:
        """Create a configuration and return it.

        Args:
            pipeline_id: Its key.
            pipeline_name: Its name, for people.
            source_type: What it reads from.
            destination_type: What it writes to.
            created_by: Who creates it.
            current_timezone: The zone of the caller: naive datetimes are taken to be in it, and the result's are shown
                in it.
            fields: Other fields of `PipelineConfig`.

        Raises:
            ItemAlreadyExistsError: There is one with that id; it is in ``.item``.
            ValidationError: A value is wrong, or a field unknown.
        """
        return await self._driver.run(
            items.create_from(
                self._entity.in_zones(assumed=current_timezone, shown=current_timezone),
                {
                    "pipeline_id": pipeline_id,
                    "pipeline_name": pipeline_name,
                    "source_type": source_type,
                    "destination_type": destination_type,
                    "created_by": created_by,
                    **fields,
                },
            )
        )
