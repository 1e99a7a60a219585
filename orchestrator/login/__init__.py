"""Another machine, reached over ssh, on which commands run and studies live."""
