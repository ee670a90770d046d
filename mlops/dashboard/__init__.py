"""The web page over all projects, rendered on the server."""
