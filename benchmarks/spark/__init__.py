"""Rows a second through Spark, against peers, in one run; and whether a rate limit is held."""
