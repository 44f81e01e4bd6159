"""Pydantic models in Amazon DynamoDB."""
