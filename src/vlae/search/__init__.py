"""Search by level: an index of images with one vector column per level, and the nearest neighbours of an image."""
