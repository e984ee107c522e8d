"""The journal: the append-only durable record of a study; all state is a fold over it."""
