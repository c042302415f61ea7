"""Scripts: code that plays a role in one conversation, and says itself when it sends and receives."""
