"""What is sent and in which order: request values, and flows that yield them."""
