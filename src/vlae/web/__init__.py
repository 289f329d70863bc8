"""The web page that shows a run: its server, and the scripts in `page`."""
