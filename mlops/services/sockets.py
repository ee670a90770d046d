"""On which addresses our processes listen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import psutil

from mlops.installation import Installation
from mlops.services import processes
from mlops.services.status import supervisor_pid


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening TCP socket of the stack."""

    service: str
    process: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback


def listeners(installation: Installation) -> list[Listener]:
    """Every listening socket of the supervisor, of the services and of what they started."""
    found = processes.services_of(installation.root)
    pid = supervisor_pid(installation)
    if pid is not None and psutil.pid_exists(pid):
        found[psutil.Process(pid)] = "supervisor"
    return sorted(
        (listener for process, service in found.items() for listener in _of(service, process)),
        key=lambda listener: (listener.service, listener.port),
    )


def _of(service: str, process: psutil.Process) -> list[Listener]:
    try:
        name = process.name()
        connections = process.net_connections(kind="tcp")
    except psutil.Error:
        return []
    return [
        Listener(service, name, found.laddr.ip, found.laddr.port)
        for found in connections
        if found.status == psutil.CONN_LISTEN
    ]
