"""What Prometheus reads: pure functions from entities to families, a module for each subject."""
