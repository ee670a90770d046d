"""The platform's own Postgres database: projects, tokens, deployments, routes, runs, audit."""
