"""Search by level: an index of images with a vector column a level, and the nearest of an image."""
