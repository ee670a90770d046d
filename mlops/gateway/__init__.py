"""The one door: HTTP, authentication, inference."""
