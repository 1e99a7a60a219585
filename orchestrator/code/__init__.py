"""Which code a job runs, where it came from, and whether it has changed.

It may import from `jobs`, `results` and the rooms `settings`, `ledger` of `orchestrator`. Read `snapshots` first.
"""
