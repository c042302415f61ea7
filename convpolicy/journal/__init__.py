"""What happened in conversations, on disk: durable before anybody hears of it, and replayed after a crash."""
