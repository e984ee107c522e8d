"""The guard: watches a running trial's live metrics and stops the doomed."""
