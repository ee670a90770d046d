"""The embedded Ray: one head on loopback, token auth, no dashboard unless asked."""

from __future__ import annotations

from mlops.cluster import head_command, head_environment
from mlops.installation import LOOPBACK, Installation
from mlops.services.base import Service
from mlops.services.probes import port_probe


def service(installation: Installation, port: int, agent_port: int) -> Service:
    """`ray start --head --block`; it ends when any of its own processes ends, and is then replaced as
    a whole. `ray stop` is never used: it ends every Ray of the machine."""
    return Service(
        name="ray",
        command=head_command(
            port=port,
            temp_dir=installation.short_dir(),
            agent_port=agent_port,
            dashboard=installation.config.ray_dashboard,
        ),
        env=head_environment(installation.secret_file("ray_token")),
        probe=port_probe(port),
        address=f"{LOOPBACK}:{port}",
        # It takes ten seconds to end by itself and has nothing to save: what serves is in the database.
        stop_timeout_s=2.0,
    )
