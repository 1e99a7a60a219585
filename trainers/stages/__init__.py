"""What the jobs of most studies run: fit and predict, train on masks, survey the data.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models`, `learning` of `trainers`.
Read `fit_predict` first.
"""
