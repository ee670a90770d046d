"""Model versions that answer: packaged as Bentos, run by Ray Serve."""
