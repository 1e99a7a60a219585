"""The page of `seedfold serve`: studies as JSON for a browser and for scripts. Nothing here writes into the root.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch`, `copies`, `views` of `orchestrator`. Read `application` first.
"""
