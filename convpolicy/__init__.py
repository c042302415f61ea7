"""Conversation policies: who may send which message to whom, in what order."""
