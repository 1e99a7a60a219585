"""What learns: Lightning modules, losses, schedules, checkpoints, estimators of scikit-learn.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models` of `trainers`. Read
`training` first.
"""
