"""A Lambda function that keeps chats as trees: every message answers another one. Start with `README.md`."""
