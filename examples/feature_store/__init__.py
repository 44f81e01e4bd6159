"""A feature store: a web service that keeps features of users and accounts by category."""
