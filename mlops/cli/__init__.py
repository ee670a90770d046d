"""The command `efficientai-toolkit`."""
