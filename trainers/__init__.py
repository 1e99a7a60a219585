"""What runs inside a job: data, models, losses, training, prediction.

Its rooms may import from `jobs` and `results`, and nothing of `orchestrator`, which starts them by name. Read
`stages.fit_predict` first.
"""
