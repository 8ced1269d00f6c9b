"""Files, texts and messages from outside: each is a recorded skip or a clear error."""
