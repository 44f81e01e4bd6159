"""`AsyncTableConfigRepository`: the tables that pipelines read and write."""

from __future__ import annotations

from datetime import datetime

from dynamodb_wrapper.models import DataFormat, TableConfig, TableType
from dynamodb_wrapper.operations import items, patches
from dynamodb_wrapper.operations.pipelines import given
from dynamodb_wrapper.repositories.async_base import AsyncBaseDynamoRepository
from dynamodb_wrapper.repositories.table_config import TableConfigTable


class AsyncTableConfigRepository(TableConfigTable, AsyncBaseDynamoRepository[TableConfig]):
    """Table configurations, by id, by pipeline and by type.

    The queries use global indexes, which DynamoDB keeps up to date within moments, not at once.

    Attributes:
        by_pipeline: ``by_pipeline("p1")``: the tables of a pipeline, by id.
        active_by_pipeline: ``active_by_pipeline("p1")``: those that are active. The sort key is there only while
            ``is_active`` is true, so inactive tables are not in the index.
        by_type: ``by_type("source")``: the tables of a type, by pipeline; ``.eq("p1")`` for one pipeline.
    """

    async def get_by_table_id(self, table_id: str, user_timezone: str | None = None) -> TableConfig | None:
        """Return the configuration of a table, or None; datetimes are shown in ``user_timezone``."""
        return await self.get_with_timezone(table_id, user_timezone=user_timezone)

    async def get_tables_by_pipeline(self, pipeline_id: str, user_timezone: str | None = None) -> list[TableConfig]:
        """Return the tables of a pipeline, active or not, by id."""
        return await self.by_pipeline.shown_in(user_timezone)(pipeline_id).all()

    async def get_active_tables_by_pipeline(
        self, pipeline_id: str, user_timezone: str | None = None
    ) -> list[TableConfig]:
        """Return the active tables of a pipeline."""
        return await self.active_by_pipeline.shown_in(user_timezone)(pipeline_id).all()

    async def get_tables_by_type(
        self, table_type: TableType | str, pipeline_id: str | None = None, user_timezone: str | None = None
    ) -> list[TableConfig]:
        """Return the tables of a type, of one pipeline or of all.

        Raises:
            ValidationError: There is no such type.
        """
        return (
            await self.by_type.shown_in(user_timezone)(TableType.of(table_type))
            .eq(*(() if pipeline_id is None else (pipeline_id,)))
            .all()
        )

    async def get_source_tables(self, pipeline_id: str, user_timezone: str | None = None) -> list[TableConfig]:
        """Return the tables a pipeline reads from."""
        return await self.get_tables_by_type(TableType.SOURCE, pipeline_id, user_timezone)

    async def get_destination_tables(self, pipeline_id: str, user_timezone: str | None = None) -> list[TableConfig]:
        """Return the tables a pipeline writes to."""
        return await self.get_tables_by_type(TableType.DESTINATION, pipeline_id, user_timezone)

    async def update_table_statistics(
        self,
        table_id: str,
        record_count: int | None = None,
        size_bytes: int | None = None,
        last_updated_data: datetime | None = None,
        current_timezone: str | None = None,
    ) -> TableConfig:
        """Note how much data a table has, and return the new configuration; what is None is left alone.

        Args:
            table_id: The table.
            record_count: How many records it has.
            size_bytes: How large it is.
            last_updated_data: When its data last changed.
            current_timezone: The zone of the caller: a naive ``last_updated_data`` is taken to be in it, and the
                result's datetimes are shown in it.

        Raises:
            ItemNotFoundError: There is no such table.
            ValidationError: A number is negative, or nothing was given.
        """
        return await self._driver.run(
            patches.patch(
                self._entity.in_zones(assumed=current_timezone, shown=current_timezone),
                (table_id, None),
                None,
                given(record_count=record_count, size_bytes=size_bytes, last_updated_data=last_updated_data),
                when=None,
                upsert=False,
            )
        )

    async def create_table_config(
        self,
        table_id: str,
        pipeline_id: str,
        table_name: str,
        table_type: TableType | str,
        data_format: DataFormat | str,
        location: str,
        created_by: str | None = None,
        current_timezone: str | None = None,
        **fields: object,
    ) -> TableConfig:
        """Create a configuration and return it.

        Args:
            table_id: Its key.
            pipeline_id: The pipeline it belongs to.
            table_name: The table's name where it is kept.
            table_type: What it is to the pipeline.
            data_format: How its data is kept.
            location: Where it is kept.
            created_by: Who creates it.
            current_timezone: The zone of the caller: naive datetimes are taken to be in it, and the result's are shown
                in it.
            fields: Other fields of `TableConfig`.

        Raises:
            ItemAlreadyExistsError: There is one with that id; it is in ``.item``.
            ValidationError: A value is wrong, or a field unknown.
        """
        return await self._driver.run(
            items.create_from(
                self._entity.in_zones(assumed=current_timezone, shown=current_timezone),
                {
                    "table_id": table_id,
                    "pipeline_id": pipeline_id,
                    "table_name": table_name,
                    "table_type": table_type,
                    "data_format": data_format,
                    "location": location,
                    "created_by": created_by,
                    **fields,
                },
            )
        )
