"""Random changes of batches of images, and of images with their masks.

It may import from `jobs`, `results` and the rooms `setup`, `data` of `trainers`. Read `transforms` first.
"""
