"""The config file that `config init` writes."""

from k3dasync.config.schemas import CURRENT, KIND, api_version
from k3dasync.images import K3S
from k3dasync.spec import DEFAULT_NAME

TEMPLATE = f"""\
# k3dasync create --config FILE; all fields: docs/config.md, or k3dasync config schema
---
apiVersion: {api_version(CURRENT)}
kind: {KIND}
metadata:
  name: {DEFAULT_NAME}
servers: 1
agents: 0
image: {K3S}
"""
