"""Launching, resuming and cancelling jobs, and looking at what a cluster offers.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login` of `orchestrator`. Read `launch` first.
"""
