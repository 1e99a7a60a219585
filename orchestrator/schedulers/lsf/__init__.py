"""The backend for LSF; `seedfold.orchestrator.schedulers.backend` describes what a backend is.

There are two dialects: ``lsf10`` is IBM Spectrum LSF 10.1, and ``classic`` is any LSF without its newer options. All
options of `bsub` are written as lines of a script on its standard input, because a shell may parse command-line
arguments a second time.
"""
