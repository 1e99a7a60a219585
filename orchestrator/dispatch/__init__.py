"""Launching, resuming and cancelling jobs, and examining what a machine and a cluster offer.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login` of `orchestrator`. Read `launch` first.
"""
