"""Jobs that run a program of somebody else, started by `@hydra.main`.

It may import from `jobs`, `results` and the rooms `setup`, `data`, `augmentation`, `models`, `learning`, `stages` of
`trainers`. Read `job` first.
"""
