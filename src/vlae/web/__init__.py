"""The web page on which a run is explored."""
