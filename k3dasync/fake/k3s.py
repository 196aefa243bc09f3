"""The simulated k3s: an init server, servers that join it, and agents."""

import anyio

from k3dasync.etcd import EtcdRefused
from k3dasync.fake import certificates
from k3dasync.fake.boot import Boot, lose_later
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.faults import Stage
from k3dasync.fake.machine import Machine
from k3dasync.fake.state import Container, Service
from k3dasync.fake.system import deploy

KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
"""Where k3s writes it unless `K3S_KUBECONFIG_OUTPUT` says otherwise."""
_FALSE = {"", "0", "false"}


async def server(machine: Machine, container: Container) -> None:
    """Be a server until ended; raises Exit if it crashes."""
    boot = Boot(machine, container)
    boot.greet("")
    await boot.reach(Stage.STARTED)
    store = boot.store
    if store is not None:
        await _reopen(boot, store)
    elif boot.endpoint:
        store = await _share(boot)
    elif boot.target:
        store = await _join(boot)
    else:
        store = await _initialize(boot)
    with store.linked(boot.name, anyio.current_time()):
        await _await_vote(boot, store)
        boot.say("etcd data store connection OK")
        await boot.reach(Stage.JOINED)
        async with anyio.create_task_group() as group:
            group.start_soon(_promote_learners, store, boot)
            await _serve(boot, store)


async def _initialize(boot: Boot) -> Datastore:
    container = boot.container
    env = container.env.get("K3S_CLUSTER_INIT", "").lower()
    has_etcd = "--cluster-init" in (container.spec.command or ()) or env not in _FALSE
    if has_etcd:
        boot.say("Managed etcd cluster initializing")
    await boot.spend(boot.latency.datastore)
    store = Datastore(
        name=f"{container.name} {container.id}",
        token=boot.token,
        has_etcd=has_etcd,
        latency=boot.latency,
        changed=boot.machine.changed,
    )
    store.add_first(container.name, container.address)
    _keep(boot, store)
    return store


async def _share(boot: Boot) -> Datastore:
    """Use the datastore outside; the first server there makes what all of them share."""
    await boot.spend(boot.latency.datastore)
    outside = boot.machine.outside
    store = outside.get(boot.endpoint)
    if not isinstance(store, Datastore):
        store = outside[boot.endpoint] = Datastore(
            name=f"{boot.endpoint} {boot.token}",
            token=boot.token,
            has_etcd=False,
            latency=boot.latency,
            changed=boot.machine.changed,
        )
    if store.token != boot.token:
        raise boot.die(
            "starting kubernetes: preparing server: bootstrap data already found and encrypted "
            "with different token"
        )
    boot.container.data = store
    return store


async def _join(boot: Boot) -> Datastore:
    boot.say("Managed etcd cluster not yet initialized")
    await boot.spend(boot.latency.ask)
    store = boot.supervisor()
    prefix = "starting kubernetes: preparing server:"
    if store is None:
        why = boot.why_no_supervisor()
        raise boot.die(f'{prefix} failed to get CA certs: Get "{_url(boot)}/cacerts": {why}')
    if boot.token != store.token:
        raise boot.die(f"{prefix} failed to validate token: token CA hash does not match, 401")
    if not store.has_etcd:
        raise boot.die(f"{prefix} cannot join: the cluster has no embedded etcd")
    address = boot.container.address
    boot.say(f"Adding https://{address}:2380 to etcd cluster")
    try:
        store.add_learner(boot.name, address, anyio.current_time())
    except EtcdRefused as error:
        raise boot.die(f"ETCD join failed: {error}") from error
    _keep(boot, store)
    await boot.spend(boot.latency.member)
    boot.say("Starting etcd for cluster")
    return store


def _url(boot: Boot) -> str:
    return f"https://{boot.target}:6443"


def _keep(boot: Boot, store: Datastore) -> None:
    boot.container.data = store
    boot.container.files.update(certificates.etcd_files(store.name))


async def _reopen(boot: Boot, store: Datastore) -> None:
    boot.say("Managed etcd cluster bootstrap already complete and initialized")
    await boot.spend(boot.latency.datastore)
    await boot.spend(boot.latency.reopen)
    if boot.endpoint:
        return
    member = store.member(boot.name)
    if member is None:
        raise boot.die("this server has been removed from the cluster")
    if store.has_etcd and member.address != boot.container.address:
        # What happens when the engine hands out other addresses after a restart.
        raise boot.die(f"failed to find local node {boot.name} in etcd: {boot.container.address}")
    if len(store.members) > 1:
        with store.linked(boot.name, anyio.current_time()):
            while not store.has_quorum:
                boot.say(
                    "Failed to test data store connection: context deadline exceeded", "warning"
                )
                await boot.machine.changed.wait()
            await boot.spend(boot.latency.rejoin)


async def _await_vote(boot: Boot, store: Datastore) -> None:
    boot.listen()
    boot.container.serves.add(Service.TCP)
    while (member := store.member(boot.name)) is not None and member.is_learner:
        boot.say(
            "Failed to test data store connection: this server has not yet been promoted from "
            "learner to voting member"
        )
        await anyio.sleep(boot.latency.joiner_poll)


async def _promote_learners(store: Datastore, boot: Boot) -> None:
    """Promote a learner at each tick, as the leader does, one a tick; they count from its start."""
    tick = store.latency.promotion_tick
    now = anyio.current_time()
    wait = max(tick - (now - (boot.container.started or now)), 0.0)
    while True:
        await anyio.sleep(wait)
        wait, now = tick, anyio.current_time()
        for member in store.members:
            if member.is_learner and store.leader == boot.name and store.is_in_sync(member, now):
                store.promote(member.id, now)
                break


async def _serve(boot: Boot, store: Datastore) -> None:
    latency, container = boot.latency, boot.container
    path = container.env.get("K3S_KUBECONFIG_OUTPUT") or KUBECONFIG
    await boot.spend(latency.kubeconfig)
    container.files.setdefault(path, b"")
    await boot.spend(latency.kubeconfig_fill)
    container.files[path] = certificates.kubeconfig(store.name)
    boot.say(f"Wrote kubeconfig {path}")
    boot.say("Waiting for API server to become available")
    await boot.spend(latency.supervisor)
    await boot.reach(Stage.SUPERVISOR)
    _offer(boot, Service.SUPERVISOR)
    await boot.spend(latency.joiner_up if boot.target else latency.up)
    await boot.reach(Stage.UP)
    with store.present(store.apis, boot.name):
        _offer(boot, Service.API)
        boot.say("k3s is up and running")
        for node in store.nodes:
            boot.machine.group.start_soon(lose_later, store, node)
        async with anyio.create_task_group() as group:
            if not boot.target:
                group.start_soon(deploy, boot, store)
            await boot.run_kubelet(store, latency.register, latency.ready)


def _offer(boot: Boot, service: Service) -> None:
    boot.container.serves.add(service)
    boot.machine.changed.tell()


async def agent(machine: Machine, container: Container) -> None:
    """Be an agent until ended: one that cannot join yet tries again and never exits."""
    boot = Boot(machine, container)
    boot.greet(" agent")
    boot.say(f"Running load balancer 127.0.0.1:6444 -> [{boot.target}:6443]")
    await boot.reach(Stage.STARTED)
    await boot.spend(boot.latency.agent_ask)
    store = await _find_cluster(boot)
    await boot.reach(Stage.JOINED)
    while not store.apis:
        boot.say(
            "Failed to configure agent: https://127.0.0.1:6444/v1-k3s/serving-kubelet.crt: "
            "503 Service Unavailable",
            "error",
        )
        await anyio.sleep(boot.latency.agent_poll)
    boot.say("Containerd is now running")
    await boot.run_kubelet(store, boot.latency.agent_register, boot.latency.agent_ready)


async def _find_cluster(boot: Boot) -> Datastore:
    while True:
        store = boot.supervisor()
        if store is None:
            why = boot.why_no_supervisor()
            boot.say(
                f'failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": {why}', "error"
            )
        elif boot.token != store.token:
            boot.say("Failed to retrieve configuration from server: 401 Unauthorized", "error")
        else:
            boot.container.data = store
            return store
        await anyio.sleep(boot.latency.agent_retry)
