"""The job: flights from CSV into DynamoDB, enriched with what is there, summed up for people and for a service."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from dynamodb_wrapper.spark import SparkDynamoDBIntegration
from examples.flights.models import TIME_ZONE
from examples.flights_pipeline.setup import PIPELINE


def run(integration: SparkDynamoDBIntegration, days: Collection[date], *, broken: bool = False) -> str:
    """Run the pipeline for these days and return the id of the run; ``broken`` puts a row in that cannot be stored."""
    with integration.pipeline_run_context(PIPELINE, trigger_type="manual") as run_id:
        spark = integration.create_spark_session(PIPELINE)
        with integration.stage(run_id, "load") as stage:
            flights = flights_of(integration.read_table(spark, "flights-csv", run_id), days)
            if broken:
                minutes = f.when(f.col("dest") == "LAX", f.lit(float("nan"))).otherwise(f.col("air_minutes"))
                flights = flights.withColumn("air_minutes", minutes)
            stage.records_processed = integration.write_table(flights, "flights-dynamodb", run_id)
        with integration.stage(run_id, "enrich and sum up") as stage:
            summary = summary_of(integration, spark, run_id).cache()
            stage.records_processed = integration.write_table(summary, "summary-parquet", run_id)
        with integration.stage(run_id, "publish") as stage:
            stage.records_processed = integration.write_table(summary, "carrier_delays-dynamodb", run_id)
        with integration.stage(run_id, "check"):
            check(integration, run_id, summary)
    return run_id


def flights_of(rows: DataFrame, days: Collection[date]) -> DataFrame:
    """Return rows of the CSV file as items of the table of flights."""
    day = f.make_date("year", "month", "day")
    clock = f.make_timestamp_ntz("year", "month", "day", "hour", "minute", f.lit(0))
    scheduled = f.to_utc_timestamp(clock.cast("timestamp"), TIME_ZONE)
    return rows.where(day.isin(list(days))).select(
        f.concat("carrier", "flight").alias("flight"),
        scheduled.alias("scheduled_departure"),
        "carrier",
        day.alias("day"),
        "origin",
        "dest",
        f.when(f.col("dep_time").isNull(), "cancelled")
        .when(f.col("arr_delay").isNull(), "no_arrival")
        .otherwise("flown")
        .alias("status"),
        f.col("tailnum").alias("tail_number"),
        (scheduled + f.make_interval(mins=f.col("dep_delay").cast("int"))).alias("departed_at"),
        f.col("dep_delay").cast("bigint").alias("departure_delay"),
        f.col("arr_delay").cast("bigint").alias("arrival_delay"),
        f.col("air_time").cast("double").alias("air_minutes"),
        f.col("distance").cast("bigint").alias("distance_miles"),
    )


def summary_of(integration: SparkDynamoDBIntegration, spark: SparkSession, run_id: str) -> DataFrame:
    """Return how late each carrier was at each destination, with the names that are looked up in DynamoDB."""
    flights = integration.read_table(spark, "flights-dynamodb", run_id)
    airports = integration.read_table(spark, "airports-dynamodb", run_id).select(
        f.col("code").alias("dest"), f.col("name").alias("dest_name")
    )
    carriers = integration.read_table(spark, "carriers-dynamodb", run_id).select(
        f.col("code").alias("carrier"), f.col("name").alias("carrier_name")
    )
    return (
        flights.groupBy("carrier", "dest")
        .agg(
            f.count(f.lit(1)).alias("flights"),
            f.count_if(f.col("status") == "cancelled").alias("cancelled"),
            f.avg("arrival_delay").cast("decimal(38,1)").alias("mean_arrival_delay"),
            f.max("arrival_delay").alias("worst_arrival_delay"),
        )
        .join(airports, "dest", "left")
        .join(carriers, "carrier", "left")
    )


def check(integration: SparkDynamoDBIntegration, run_id: str, summary: DataFrame) -> None:
    """Note what can be said of the data."""
    totals = summary.agg(f.sum("flights"), f.count_if(f.col("dest_name").isNull())).first()
    assert totals is not None, "an aggregate has a row"
    loaded = integration.runs.get_or_raise(run_id).stages[0].records_processed
    integration.runs.add_data_quality_results(
        run_id,
        [
            {
                "check_name": "every flight is in the summary",
                "passed": totals[0] == loaded,
                "expected_value": loaded,
                "actual_value": totals[0],
            },
            {
                "check_name": "every destination has a name",
                "passed": totals[1] == 0,
                "expected_value": 0,
                "actual_value": totals[1],
                "error_message": f"{totals[1]} are not in the table of airports" if totals[1] else None,
            },
        ],
    )
