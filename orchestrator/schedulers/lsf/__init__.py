"""LSF: what is particular to it, and nothing else. `seedfold.orchestrator.schedulers.backend` says what a backend is.

Two dialects: ``lsf10`` is IBM Spectrum LSF 10.1, ``classic`` whatever lacks its newer options. Everything that `bsub`
is to know stands in lines of a script on its standard input, since arguments may be parsed once more by a shell.
"""
