"""One way to connect, for callers and Workers alike."""

from dataclasses import dataclass

from temporalio.client import Client


@dataclass(frozen=True)
class Connection:
    """Where the Temporal Service is, and as whom it is called."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    identity: str | None = None


async def connect(connection: Connection) -> Client:
    """Raises `RuntimeError` where nothing answers."""
    return await Client.connect(
        connection.address, namespace=connection.namespace, identity=connection.identity
    )
