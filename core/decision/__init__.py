"""Deciding: keep, discard or retest, and what a claim rests on."""
