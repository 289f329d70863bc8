"""Measures what each level costs and predicts: takes a model, data and codes; knows no run and writes no file."""
