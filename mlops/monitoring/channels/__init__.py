"""Ways to tell people, and their programs, of an alert."""
