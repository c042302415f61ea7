"""The service bus: it knows who plays which role, passes messages on, and holds no truth of its own."""
