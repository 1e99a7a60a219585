"""A study for notebooks: its tables, jobs and report from Python.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch`, `copies` of `orchestrator`. Read `study` first.
"""
