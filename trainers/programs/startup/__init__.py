"""A folder that the Python processes of a job's program have on their PYTHONPATH: they run its `sitecustomize`."""
