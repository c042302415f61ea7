"""Playing with a journal: what engines, actors and scripts do more, so that they survive their process."""
