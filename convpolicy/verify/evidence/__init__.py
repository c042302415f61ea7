"""A decision in words: findings with their places, runs that show them, changes that repair them, and the report."""
