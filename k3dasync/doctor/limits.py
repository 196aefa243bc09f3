"""The kernel's limits on the engine's host: what runs there and what is asked for. Pure."""

from k3dasync.doctor import seen
from k3dasync.doctor.findings import Finding, Verdict, unknown
from k3dasync.doctor.seen import Seen

INSTANCES = (30, 10, 30)
"""Inotify instances of a server, of an agent, and of everything else of that user. Estimated from
a count on a k0s node (k0s#8113): 12 of the control plane, 10 of its supervisor, two for each pod's
shim and one and a half in the kubelet; a server has five pods of its own, an agent one or two."""
WATCHES = (1500, 500, 2000)
"""Inotify watches, likewise estimated: cAdvisor watches each cgroup, in version 1 once for each of
a dozen hierarchies, and a pod is about three of them."""
FILES = (4000, 1500, 2000)
"""Open files, assumed: a server holds etcd, an API server's connections and its pods' files."""
THREADS = (600, 250, 0)
"""Threads, assumed: k3s and containerd have 100 to 150 on a server, each pod's shim a dozen, and
pods their own. What runs already is counted by the kernel."""
SETTLED = 65536
"""Open files of one process: what etcd asks for."""


def _of(costs: tuple[int, int, int], nodes: tuple[int, int]) -> int:
    return costs[0] * nodes[0] + costs[1] * nodes[1]


def _asked(view: Seen) -> tuple[int, int]:
    return view.asked.servers, view.asked.agents


def _inotify(
    view: Seen, check: str, costs: tuple[int, int, int], *, path: str, cure: int, why: str
) -> Finding:
    found = view.number(path)
    if found is None:
        return unknown(check)
    needed = _of(costs, view.running) + _of(costs, _asked(view)) + costs[2]
    # An estimate: never an error.
    if found >= needed:
        return Finding(check=check, verdict=Verdict.OK, value=str(found), needed=str(needed))
    name = "fs.inotify." + path.rpartition("/")[2]
    return Finding(
        check=check,
        verdict=Verdict.WARNING,
        value=str(found),
        needed=str(needed),
        why=why,
        cure=f"sudo sysctl -w {name}={max(cure, 2 * needed)}",
    )


def inotify_instances(view: Seen) -> Finding:
    """All nodes share the limit of their user, who is root."""
    why = "nodes then never become Ready, or pods crash with `too many open files`"
    path = seen.INOTIFY_INSTANCES
    return _inotify(view, "inotify-instances", INSTANCES, path=path, cure=512, why=why)


def inotify_watches(view: Seen) -> Finding:
    """Likewise the files and folders that are watched."""
    why = "nodes then fail with `no space left on device` although there is"
    path = seen.INOTIFY_WATCHES
    return _inotify(view, "inotify-watches", WATCHES, path=path, cure=524288, why=why)


def files(view: Seen) -> Finding:
    """Open files of the whole host, and of one process where a node could be asked."""
    used, most = view.number(seen.FILE_NR), view.number(seen.FILE_NR, 2)
    if used is None or most is None:
        return unknown("open-files")
    needed, free = _of(FILES, _asked(view)) + FILES[2], most - used
    hard = seen.open_files(view.text(seen.LIMITS) or "")
    if free < needed:
        return Finding(
            check="open-files",
            verdict=Verdict.WARNING,
            value=f"{free} free",
            needed=str(needed),
            why="whatever opens a file or connection then fails, on the whole host",
            cure=f"sudo sysctl -w fs.file-max={most + 2 * needed}",
        )
    if hard is not None and hard < SETTLED:
        return Finding(
            check="open-files",
            verdict=Verdict.WARNING,
            value=f"{hard} a process",
            needed=str(SETTLED),
            why="etcd and the API server run out of them",
            cure='"default-ulimits" in the engine\'s daemon.json, or LimitNOFILE in its unit',
        )
    # A process's own limit is seen in a node only.
    of_one = "" if hard is not None else ", of a process: unknown while no node runs"
    return Finding(
        check="open-files", verdict=Verdict.OK, value=f"{free} free{of_one}", needed=str(needed)
    )


def pids(view: Seen) -> Finding:
    """Each thread takes a number, and a place in the engine's cgroup."""
    used = seen.threads(view.text(seen.LOADAVG) or "")
    kernel = [found for path in (seen.PID_MAX, seen.THREADS_MAX) if (found := view.number(path))]
    if used is None or not kernel:
        return unknown("pids")
    groups = [found for path in seen.CGROUP_PIDS if (found := view.number(path))]
    free, needed = min(kernel) - used, _of(THREADS, _asked(view))
    group = min(groups, default=None)
    if group is not None and group < _of(THREADS, view.running) + needed:
        value, cure = f"{group} in the engine's cgroup", "TasksMax=infinity in the engine's unit"
    elif free < needed:
        value, cure = f"{free} free", f"sudo sysctl -w kernel.pid_max={min(kernel) + 2 * needed}"
    else:
        value = f"{free} free"
        return Finding(check="pids", verdict=Verdict.OK, value=value, needed=str(needed))
    why = "nodes then fail with `resource temporarily unavailable`"
    return Finding(
        check="pids",
        verdict=Verdict.WARNING,
        value=value,
        needed=str(needed),
        why=why,
        cure=cure,
    )
