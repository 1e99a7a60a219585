"""Networks of single studies, larger than those of `seedfold.trainers.models.networks`."""
