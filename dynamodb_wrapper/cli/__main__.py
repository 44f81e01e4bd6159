"""``python -m dynamodb_wrapper.cli``: the command line, where its script is not on the PATH."""

from dynamodb_wrapper.cli import main

main()
