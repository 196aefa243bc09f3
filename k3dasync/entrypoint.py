"""The start scripts of a node, under k3d's file names and with its meaning. Pure.

They are in the container before its first start and run at every start, so that nothing has to
be repaired from outside after a restart. POSIX sh: the real image has busybox.
"""

from k3dasync.fixes import Fixes
from k3dasync.runtime import File

PATH = "/bin/k3d-entrypoint.sh"
HOST_ALIAS = "host.k3d.internal"
COREDNS_PATH = "/bin/k3d-entrypoint-coredns.sh"
"""Tells pods of the names in a server's `/etc/hosts`, and in POD_HOSTS_PATH."""
POD_HOSTS_PATH = "/etc/k3d/hosts"
"""Names and addresses, as in `/etc/hosts`, for pods alone: nodes ask the engine's resolver."""
MANIFESTS_PATH = "/var/lib/rancher/k3s/server/manifests"
"""Where k3s applies what it finds."""

WITHOUT_DRAIN = "/etc/k3d/without-drain"
"""A file in a server's container that lets its stop be short."""

DRAINED = "/var/lib/rancher/k3s/.k3d-drained"
"""A file in a server's container from when it was drained until it is uncordoned again."""

_MAIN = """\
#!/bin/sh
# Prepares the container, runs k3s, and drains the node on the way out.
set -o errexit
set -o nounset

role="${1:-agent}"
# On the data volume, so that it outlives the container's process but not the node.
drained={DRAINED}
# Put there by whoever stops the whole cluster: then there is nowhere to drain to.
undrained={WITHOUT_DRAIN}
rm -f "$undrained"
k3s_pid=

stop() {
  trap '' TERM INT QUIT HUP
  [ -n "$k3s_pid" ] || return 0
  if [ "$role" = server ] && [ ! -e "$undrained" ]; then
    # One that somebody else has cordoned stays so. Both together are shorter than the 10 s which
    # the engine gives a container to end.
    kubectl get node "$HOSTNAME" -o json --request-timeout=2s 2>/dev/null \\
      | grep -q '"unschedulable": *true' || : >"$drained" || true
    kubectl drain "$HOSTNAME" --force --delete-emptydir-data --ignore-daemonsets \\
      --disable-eviction --timeout=7s || true
  fi
  kill -TERM "$k3s_pid" 2>/dev/null || true
  wait "$k3s_pid" || true
}
# From the first moment on: a stop during the start must end k3s properly too.
trap 'stop; exit 0' TERM INT QUIT HUP

log="/var/log/k3d-entrypoints_$(date +%Y%m%d%H%M%S).log"
for script in /bin/k3d-entrypoint-*.sh; do
  [ -e "$script" ] || continue
  echo "running $script" >>"$log"
  "$script" >>"$log" 2>&1 || { echo "$script failed, see $log" >&2; cat "$log" >&2; exit 1; }
done

/bin/k3s "$@" &
k3s_pid=$!

if [ "$role" = server ] && [ -e "$drained" ]; then
  # A drained node comes back cordoned, and nobody else would undo that. Not in the foreground:
  # if k3s ends, so must the container.
  { until kubectl uncordon "$HOSTNAME" >/dev/null 2>&1; do sleep 3; done; rm -f "$drained"; } &
fi
wait "$k3s_pid"
""".replace("{WITHOUT_DRAIN}", WITHOUT_DRAIN).replace("{DRAINED}", DRAINED)

_CGROUPV2 = """\
#!/bin/sh
# cgroup v2: the root group may not hold processes and delegate controllers at the same time.
set -o errexit
set -o nounset
[ -f /sys/fs/cgroup/cgroup.controllers ] || exit 0
mkdir -p /sys/fs/cgroup/init
if command -v xargs >/dev/null; then xargs=xargs; else xargs="busybox xargs"; fi
$xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null || true
sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers \\
  >/sys/fs/cgroup/cgroup.subtree_control
"""

_DNS = """\
#!/bin/sh
# The engine's resolver listens on 127.0.0.11, which pods cannot reach: move it to the gateway.
set -o errexit
set -o nounset
resolver=127.0.0.11
gateway={gateway}
iptables-save | sed \\
  -e "s/-d $resolver/-d $gateway/g" \\
  -e 's/-A OUTPUT \\(.*\\) -j DOCKER_OUTPUT/&\\n-A PREROUTING \\1 -j DOCKER_OUTPUT/' \\
  -e "s/--to-source :53/--to-source $gateway:53/g" \\
  | iptables-restore
if grep -q "$resolver" /etc/resolv.conf; then
  cp /etc/resolv.conf /etc/resolv.conf.original
  sed -e "s/$resolver/$gateway/g" /etc/resolv.conf.original >/etc/resolv.conf
fi
"""

_MOUNTS = """\
#!/bin/sh
# Volumes with mount propagation need a shared root.
set -o errexit
mount --make-rshared /
"""

# k3s >= 1.23 lets the ConfigMap coredns-custom add server blocks; older releases leave it unread.
_COREDNS = """\
#!/bin/sh
# What /etc/hosts says of names outside the cluster, pods shall know too, and what only the engine's
# resolver tells nodes: k3s applies every manifest in this directory at its start and whenever it
# changes.
set -o errexit
set -o nounset
directory=/var/lib/rancher/k3s/server/manifests
zones=
entries=
while read -r address names; do
  case "$address" in '' | '#'* | 127.* | ::1 | fe00::* | ff0*) continue ;; esac
  for name in $names; do
    [ "$name" != "$HOSTNAME" ] || continue
    case " $zones " in *" $name:53 "*) ;; *) zones="$zones $name:53" ;; esac
    entries="$entries        $address $name
"
  done
done <<END
$(cat /etc/hosts /etc/k3d/hosts 2>/dev/null || true)
END
[ -n "$entries" ] || exit 0
mkdir -p "$directory"
# Under another name first: k3s must never read half a file.
cat >"$directory/.k3dasync-coredns-custom" <<EOF
apiVersion: v1
kind: ConfigMap
metadata:
  name: coredns-custom
  namespace: kube-system
data:
  k3d-hosts.server: |
   $zones {
      hosts {
$entries      }
    }
EOF
mv "$directory/.k3dasync-coredns-custom" "$directory/k3dasync-coredns-custom.yaml"
"""

_MEMINFO = "/etc/k3d/meminfo"

# The kubelet takes a node's memory from /proc/meminfo, which shows the machine's, and refuses to
# start where a machine's error detection tells of more than that.
_MEMORY = f"""\
#!/bin/sh
# Shows k3s the memory that this container may use, not the machine's.
set -o errexit
set -o nounset
mount --bind {_MEMINFO} /proc/meminfo
if [ -d /sys/devices/system/edac ]; then
  mkdir -p /etc/k3d/edac
  mount --bind /etc/k3d/edac /sys/devices/system/edac
fi
"""

_EXECUTABLE = 0o744
_ALL = Fixes()


def _meminfo(memory: int) -> tuple[File, ...]:
    # The kernel's kB are 1024 bytes. k3d counts 1000, so that nodes believe in more than they have.
    text = f"MemTotal: {memory // 1024} kB\nSwapTotal: 0 kB\n"
    return (File(path=_MEMINFO, content=text.encode()),)


def node_files(
    *,
    is_server: bool,
    gateway: str | None,
    memory: int = 0,
    has_hosts: bool = True,
    fixes: Fixes = _ALL,
) -> tuple[File, ...]:
    """Return the scripts of one node, none if it needs none and starts as its image says.

    Without a known *gateway* the resolver stays where it is; *memory* is the node's limit in
    bytes; *has_hosts*: its /etc/hosts has entries that pods must know too.
    """
    cures = {
        "-cgroupv2": _CGROUPV2 if fixes.cgroupv2 else "",
        "-mounts": _MOUNTS if fixes.mounts else "",
        "-dns": _DNS.format(gateway=gateway) if gateway and fixes.dns else "",
        "-coredns": _COREDNS if is_server and has_hosts else "",
        "-memory": _MEMORY if memory else "",
    }
    scripts = {"": _MAIN} | {suffix: text for suffix, text in cures.items() if text}
    return (_meminfo(memory) if memory else ()) + tuple(
        File(path=f"/bin/k3d-entrypoint{suffix}.sh", content=text.encode(), mode=_EXECUTABLE)
        for suffix, text in sorted(scripts.items())
    )
