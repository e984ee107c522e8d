"""Executors whose every job gets a fresh machine of a provider's, deleted at the job's end."""
