"""Networks, and published weights that they can begin with.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation` of `trainers`. Read `networks` first.
"""
