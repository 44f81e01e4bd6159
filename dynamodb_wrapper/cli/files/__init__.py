"""What ``export`` writes and ``import`` reads: rows in files, and how far each has come."""
