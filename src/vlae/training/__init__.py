"""Trains a recipe on data: the function, the loop, the batches, progress."""
