# shellcheck shell=bash
# What dev/engine and dev/images share. Sourced, not run.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where dockerd and iptables are, also for users who aren't root

# Everything the scripts keep is below this directory, so that removing it removes them.
base=${K3DASYNC_DEV_STATE:-${XDG_STATE_HOME:-${HOME:-/tmp}/.local/state}/k3dasync-dev}
[[ $base == /* ]] || base=$PWD/$base

# Names of stand-in images begin so. Two checkouts that share an engine take two.
# shellcheck disable=SC2034 # it is for whoever sources this
images=${K3DASYNC_DEV_IMAGES:-k3dasync-dev}

say() { printf 'dev/%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    local code=$1
    shift
    say "$@"
    exit "$code"
}

# usage: the head comment of the script, up to its first command.
usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

# packages_of PROGRAM=PACKAGE…: prints the packages whose program is not there.
packages_of() {
    local pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}"
    done
}

# install LOG PACKAGE…: from the machine's distribution, as root. Fails where that can't be.
install() {
    local log=$1
    shift
    command -v apt-get >/dev/null || return
    say "installing $*"
    without_services apt_install "$log" "$@"
}

apt_install() {
    local log=$1
    shift
    local -a command=(as_root env DEBIAN_FRONTEND=noninteractive
        apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@")
    "${command[@]}" >"$log" 2>&1 || { apt_update "$log" && "${command[@]}" >>"$log" 2>&1; }
}

# A new machine has no package lists, an old one lists whose files are gone.
apt_update() { as_root apt-get update >>"$1" 2>&1; }

# Installing docker.io would start an engine for the whole machine. We want our own one only.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [[ -e $policy ]]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    "$@" || status=$?
    as_root rm -f "$policy"
    return "$status"
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo_command "$@"; fi
}

# sudo asks for a password only where somebody can type it.
sudo_command() {
    local -a command=(sudo)
    [[ -t 0 ]] || command+=(--non-interactive)
    "${command[@]}" "$@"
}

# compile DIRECTORY TARGET [go build's arguments…]: a static program of ours; they use the standard library only.
compile() {
    local directory=$1 target=$2
    shift 2
    (cd "$directory" && env CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOPROXY=off \
        go build -trimpath "$@" -o "$target" . >&2)
}

# ---- the engine at DOCKER_HOST ---------------------------------------------------------------------------

# Says of which sources and settings an image of ours was made.
export label=k3dasync.dev.content

# find_engine: for api. Speaks what curl speaks.
find_engine() {
    local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
    endpoint=()
    case $host in
    unix://*) endpoint=(--unix-socket "${host#unix://}") origin=http://engine ;;
    tcp://* | http://*) origin=http://${host#*://} ;;
    *) fail 69 "DOCKER_HOST=$host: only unix:// and tcp:// are spoken here" ;;
    esac
    api GET /_ping >/dev/null 2>&1 || fail 69 "no engine answers at $host; start one: export \"\$(dev/engine up)\""
}

# api METHOD PATH [curl's arguments…]: prints the answer; fails on an error status. In the engine's own version of
# the API: no single one is spoken by all engines.
api() { (exec_api "$@"); }

exec_api() {
    local method=$1 path=$2
    shift 2
    exec curl --silent --show-error --fail --noproxy '*' "${endpoint[@]}" --request "$method" "$origin$path" "$@"
}

# content_of IMAGE: the content label of an image, empty where there is no such image or label.
content_of() {
    api GET "/images/$1/json" 2>/dev/null | sed -n "s/.*\"$label\":\"\([0-9a-f]*\)\".*/\1/p" || true
}
