"""The machine: one loop, pure decisions about batches, and the ledger they are committed to."""
