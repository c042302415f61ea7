"""Machines that were given and not projected: read from text, and judged by k-multiparty compatibility."""
