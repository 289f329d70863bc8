"""Draws figures: panels of a model, training curves, sheets of small pictures, and the canvas under them."""
