"""Glue to frameworks, one module for each; a module is imported by its full name and needs its framework installed."""
