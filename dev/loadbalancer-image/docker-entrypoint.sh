#!/bin/sh
# The official image's entrypoint ends like this; what it does before is for web sites.
exec "$@"
