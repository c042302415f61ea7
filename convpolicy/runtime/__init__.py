"""Conversations on a link: the engine without waiting, and the shells around it that wait."""
