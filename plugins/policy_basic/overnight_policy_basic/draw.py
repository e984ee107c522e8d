"""Seeded drawing: the same study seed and proposal index always draw the same point."""

import random


def generator(seed: int, index: int, purpose: str) -> random.Random:
    """A generator of its own for one proposal (strings seed `random` stably, by SHA-512)."""
    return random.Random(f"{purpose}/{seed}/{index}")
