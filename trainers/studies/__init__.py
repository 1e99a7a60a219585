"""One folder for each study that comes with Seedfold, with all that only this study needs.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models`, `learning`, `stages`,
`programs` of `trainers`. Read `sample_data` first.
"""
