"""The gateway's routes, a file per noun. Each is a function of the platform that returns a router."""
