"""What a model's levels cost and tell of: takes a model, data and codes; knows no run and writes no file."""
