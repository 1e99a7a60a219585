"""Training: Lightning modules, losses, schedules, checkpoints, and estimators of scikit-learn.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models` of `trainers`. Read
`training` first.
"""
