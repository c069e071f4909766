"""A real Temporal server whose frontend speaks TLS, and asks for client certificates or for tokens.

Owns the certificates, the keys and the configuration; made anew for each run with openssl. System
Workers reach the service over the internal frontend, which needs neither.
"""

import asyncio
import base64
import contextlib
import datetime
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import server
from server import Server
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, TLSConfig

NAME = "frontend.runbook.test"
NAMESPACE = "secured"


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.own = Pair(folder / f"{name}.pem", folder / f"{name}.key.pem")
        subject = ["-subj", f"/CN={name}", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl(
            "req", "-x509", "-nodes", *subject, "-keyout", str(self.own.key), "-out", str(self.own.certificate)
        )

    def sign(self, name: str, host: str) -> Pair:
        """A certificate for a host, good for servers and clients."""
        pair = Pair(self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key.pem")
        request = openssl(
            "req", "-new", "-nodes", "-subj", f"/CN={host}", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-keyout", str(pair.key),
        )  # fmt: skip
        extensions = self.folder / "extensions.txt"
        extensions.write_text(f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n")
        openssl(
            "x509", "-req", "-days", "2", "-CA", str(self.own.certificate), "-CAkey", str(self.own.key),
            "-CAcreateserial", "-extfile", str(extensions), "-out", str(pair.certificate), stdin=request,
        )  # fmt: skip
        return pair


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Issuer:
    """Issues the tokens that the server's default claim mapper reads."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "issuer.key.pem"
        openssl("genrsa", "-out", str(self.key), "2048")

    def keys(self) -> dict:
        """The public key as a JSON Web Key Set."""
        modulus = openssl("rsa", "-in", str(self.key), "-noout", "-modulus").decode().strip().partition("=")[2]
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "live", "e": "AQAB"}
        return {"keys": [key | {"n": base64url(bytes.fromhex(modulus))}]}

    def token(self, *permissions: str, seconds: int = 3600) -> str:
        header = {"alg": "RS256", "kid": "live", "typ": "JWT"}
        claims = {"sub": "operator", "permissions": list(permissions), "exp": int(time.time()) + seconds}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), stdin=signed.encode())
        return f"{signed}.{base64url(signature)}"


class SecureServer(Server):
    """`clients`: the authority whose clients are let in; `issuer`: whose tokens are asked for."""

    def __init__(self, authority: Authority, clients: Authority | None = None, issuer: Issuer | None = None) -> None:
        super().__init__()
        self.ports = server.free_ports(10)
        self.address = f"127.0.0.1:{self.ports[0]}"
        self.authority, self.clients, self.issuer = authority, clients, issuer
        self.namespace = NAMESPACE

    def _start(self) -> None:
        dynamic, config = self.folder / "dynamic.yaml", self.folder / "server.yaml"
        dynamic.write_text(server.DYNAMIC)
        text = server.CONFIG.format(ports=self.ports, dynamic=dynamic, **server.IN_MEMORY)
        public = text.index("publicClient:")
        text = text[:public] + text[text.index("\n", public) + 1 :]
        internal = "  internal-frontend: {{ rpc: {{ grpcPort: {0}, membershipPort: {1}, bindOnIP: 127.0.0.1 }} }}\n"
        text = text.replace("services:\n", "services:\n" + internal.format(*self.ports[8:]))
        text = text.replace("global:\n", f"global:\n{self._security()}")
        config.write_text(text)
        binary = os.environ.get("RUNBOOK_TEMPORAL_SERVER") or str(server.cache_folder() / "bin" / "server")
        services = ["frontend", "internal-frontend", "history", "matching", "worker"]
        named = [part for service in services for part in ("--service", service)]
        auth = [] if self.issuer else ["--allow-no-auth"]
        self.process = subprocess.Popen(
            ["nice", binary, "--config-file", str(config), *auth, "start", *named],
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "server.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )

    def _security(self) -> str:
        own = self.authority.sign("server", NAME)
        tls = {"certFile": str(own.certificate), "keyFile": str(own.key)}
        if self.clients:
            tls |= {"requireClientAuth": True, "clientCaFiles": [str(self.clients.own.certificate)]}
        client = {"serverName": NAME, "rootCaFiles": [str(self.authority.own.certificate)]}
        lines = [f"  tls: {json.dumps({'frontend': {'server': tls, 'client': client}})}"]
        if self.issuer:
            keys = self.folder / "keys.json"
            keys.write_text(json.dumps(self.issuer.keys()))
            provider = {"keySourceURIs": [keys.as_uri()], "refreshInterval": "1h"}
            authorization = {"authorizer": "default", "claimMapper": "default", "permissionsClaimName": "permissions"}
            lines.append(f"  authorization: {json.dumps(authorization | {'jwtKeyProvider': provider})}")
        return "".join(f"{line}\n" for line in lines)

    def _wait_until_usable(self) -> None:
        until = time.monotonic() + server.START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the Temporal server ended at once:\n{self._log_tail()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.ports[0]), 1).close()
                try:
                    asyncio.run(self._make_namespace())
                    return
                except (RPCError, RuntimeError) as error:
                    trouble = error
            time.sleep(0.3)
        raise RuntimeError(f"no usable Temporal server: {trouble}\n{self._log_tail()}")

    async def _make_namespace(self) -> None:
        pair = self.clients.sign("setup", "setup") if self.clients else None
        tls = TLSConfig(
            server_root_ca_cert=self.authority.own.certificate.read_bytes(),
            domain=NAME,
            client_cert=pair.certificate.read_bytes() if pair else None,
            client_private_key=pair.key.read_bytes() if pair else None,
        )
        key = self.issuer.token("temporal-system:admin") if self.issuer else None
        client = await Client.connect(self.address, namespace=self.namespace, tls=tls, api_key=key)
        request = RegisterNamespaceRequest(namespace=self.namespace)
        request.workflow_execution_retention_period.FromTimedelta(datetime.timedelta(days=2))
        with contextlib.suppress(RPCError):  # it is there already
            await client.workflow_service.register_namespace(request)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=self.namespace))
