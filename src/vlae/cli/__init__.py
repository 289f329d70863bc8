"""The command line: one file per topic, and one short function per command, which calls the library."""
