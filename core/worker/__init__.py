"""The worker: what runs on the far side, in a job's own process."""
