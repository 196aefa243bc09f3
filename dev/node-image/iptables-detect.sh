#!/bin/sh
# iptables and its kin, whichever way the engine wrote this container's rules.
#
# The engine writes the rules of the embedded DNS with its host's iptables: through nftables, or the older way.
# Neither sees the rules of the other. The real node image decides like this, too.
if grep -q . /proc/net/ip_tables_names 2>/dev/null && xtables-legacy-multi iptables-save | grep -q '^-A'; then
    exec xtables-legacy-multi "${0##*/}" "$@"
fi
exec xtables-nft-multi "${0##*/}" "$@"
