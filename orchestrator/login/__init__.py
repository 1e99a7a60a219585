"""The login host: another machine, reached over ssh, on which commands run and studies are stored.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers` of
`orchestrator`. Read `connection` first.
"""
