"""Layers of networks, independent of any model: stacks, moments of maps, injection of a code into a map."""
