"""Generative models with a code at every level: the contract, the ladder, its levels, its rivals, likelihoods."""
