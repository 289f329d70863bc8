"""Blocks of networks, which know no word of the model: layers, moments of maps, injection of a code into a map."""
