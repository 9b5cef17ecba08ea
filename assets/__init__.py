"""What flows through the gate: assets, verdicts, shards; the formats they lie in; the ledger."""
