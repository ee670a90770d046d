"""The one door: authentication, the JSON API, inference, and the dashboard behind it."""
