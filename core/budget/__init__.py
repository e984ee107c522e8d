"""The budget: limits in US dollars, GPU-hours, wall-clock and trials, spent through one ledger."""
