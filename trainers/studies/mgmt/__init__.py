"""The study `mgmt`: a genetic marker of brain tumours in volumes: its files, its network, its sample data.

Nothing outside this folder imports it: study files name what is in it. Read `sample_data` first, which writes small
files in the real format.
"""
