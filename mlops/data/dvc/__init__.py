"""Data versions by DVC, in-process; the project's folder is a DVC root of its own."""
