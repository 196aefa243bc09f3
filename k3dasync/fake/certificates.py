"""Kubeconfig and keys of a simulated server: of the right form, good for nothing. Pure."""

import base64
import hashlib

from k3dasync.kubernetes import Credentials

ETCD_FILES = tuple(
    f"/var/lib/rancher/k3s/server/tls/etcd/{name}"
    for name in ("client.crt", "client.key", "server-ca.crt")
)
"""Where k3s keeps what an etcd client needs."""


def pem(kind: str, seed: str) -> bytes:
    """Return text in the form of a PEM block."""
    body = base64.b64encode(hashlib.sha512(f"{kind} {seed}".encode()).digest()).decode()
    return f"-----BEGIN {kind}-----\n{body[:64]}\n{body[64:]}\n-----END {kind}-----\n".encode()


def credentials(cluster: str) -> Credentials:
    """Return what the kubeconfig of that cluster holds."""
    return Credentials(
        ca=pem("CERTIFICATE", f"ca {cluster}"),
        certificate=pem("CERTIFICATE", f"admin {cluster}"),
        key=pem("EC PRIVATE KEY", f"admin {cluster}"),
    )


def etcd_files(cluster: str) -> dict[str, bytes]:
    """Return the files an etcd client needs, by path."""
    kinds = ("CERTIFICATE", "EC PRIVATE KEY", "CERTIFICATE")
    return {
        path: pem(kind, f"{path} {cluster}") for path, kind in zip(ETCD_FILES, kinds, strict=True)
    }


def kubeconfig(cluster: str) -> bytes:
    """Return the kubeconfig as k3s writes it: everything in it is called `default`."""
    found = credentials(cluster)
    ca, certificate, key = (
        base64.b64encode(part).decode() for part in (found.ca, found.certificate, found.key)
    )
    return f"""\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {{}}
users:
- name: default
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
""".encode()
