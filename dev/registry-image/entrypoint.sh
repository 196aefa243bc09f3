#!/bin/sh
# As in the official image: a configuration file means that it is to be served.
case "$1" in
*.yaml | *.yml) set -- registry serve "$@" ;;
esac
exec "$@"
