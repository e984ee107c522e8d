"""What executors that run jobs share: the far side's programs, job folders, code bundles, the client."""
