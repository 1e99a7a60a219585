"""Another machine, reached over ssh, on which commands run and studies live.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers` of
`orchestrator`. Read `connection` first.
"""
