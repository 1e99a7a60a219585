"""Copies of studies, to read them on another machine.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch` of `orchestrator`. Read `fetching` first.
"""
