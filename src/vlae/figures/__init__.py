"""The pictures vlae draws: panels of a model, curves, sheets of small pictures, the canvas they are laid on."""
