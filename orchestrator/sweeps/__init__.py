"""A sweep of any Hydra program as a study.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch`, `copies`, `views`, `cli` of `orchestrator`. Read `sweep` first.
"""
