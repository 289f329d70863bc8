"""Layers of networks, independent of any model: stacks, masked convolutions, moments of maps, injection of codes."""
