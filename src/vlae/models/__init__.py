"""Generative models with a code at every level: the interface, the ladder, its levels, its rivals, likelihoods."""
