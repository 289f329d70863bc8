"""The command line: a file a topic, each command a thin one over a library function."""
