"""The images a cluster is made of when the user names none. Pinned here and nowhere else."""

import os

K3S = "docker.io/rancher/k3s:v1.35.5-k3s1"
# nginx's stable branch (even minor number); the stream module is compiled into the official image.
LOADBALANCER = "docker.io/library/nginx:1.30.0-alpine"
REGISTRY = "docker.io/library/registry:2"

K3S_VERSION = K3S.rpartition(":")[2]


def is_channel(image: str) -> bool:
    """Say whether an image's name means a release channel of k3s: `latest`, `stable`, `+v1.31`."""
    return image in {"latest", "stable"} or image.startswith("+")


def loadbalancer_image() -> str:
    """Return the load balancer's image: `K3D_IMAGE_LOADBALANCER`, as k3d reads it, or ours."""
    return os.environ.get("K3D_IMAGE_LOADBALANCER") or LOADBALANCER


def registry_image() -> str:
    """Return the image of registries that name none: `K3DASYNC_IMAGE_REGISTRY`, or k3d's."""
    return os.environ.get("K3DASYNC_IMAGE_REGISTRY") or REGISTRY
