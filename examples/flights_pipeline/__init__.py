"""A pipeline that takes flights from CSV files through Spark into DynamoDB, and knows what it did."""
