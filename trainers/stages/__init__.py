"""Stages before training: registering data, caching images, writing split tables."""
