"""The one resident process of the platform's loops."""
