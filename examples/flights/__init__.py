"""A guided tour on real data: flights out of New York in 2013, kept in DynamoDB. `python -m examples.flights`.

Read `models.py` and `repositories.py` first: they are all that an application has to write. `tour.py` asks the
questions, `load.py` fills the tables and keeps a run log, `source.py` reads the CSV files, `screen.py` draws.
"""
