"""What a job records while it runs, from any of its processes: metrics of steps, predictions in batches, files.

It may import from `jobs` and the room `store` of `results`. Read `current_run` first.
"""
