"""Training of several small networks together: their weights are stacked, and one step moves all of them.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models`, `learning` of `trainers`.
Read `training` first.
"""
