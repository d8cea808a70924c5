"""Numbers about runs: ledger, statistics."""
