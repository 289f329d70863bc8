"""The commands of the command line, by topic: each a thin one over a library function."""
