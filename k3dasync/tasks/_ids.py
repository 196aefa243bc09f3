"""The ids of tasks: kind and resource. Tasks find each other by these alone."""

from k3dasync.graph import TaskId


def image(name: str) -> TaskId:
    return TaskId(f"image:{name}")


def network(name: str) -> TaskId:
    return TaskId(f"network:{name}")


def volume(name: str) -> TaskId:
    return TaskId(f"volume:{name}")


def container(name: str) -> TaskId:
    """The container is there, with its files, not started."""
    return TaskId(f"container:{name}")


def start(name: str) -> TaskId:
    """The container runs."""
    return TaskId(f"start:{name}")


def connect(name: str) -> TaskId:
    """The registry is in the cluster's network."""
    return TaskId(f"connect:{name}")


def answer(name: str) -> TaskId:
    """The registry answers where it is published."""
    return TaskId(f"answer:{name}")


def tell(node: str) -> TaskId:
    """The node knows, or does not know any more, the registries."""
    return TaskId(f"tell:{node}")


def hosting(cluster: str) -> TaskId:
    """Tools find out from the cluster where to push images to."""
    return TaskId(f"hosting:{cluster}")


def supervisor(name: str) -> TaskId:
    """Nodes can join."""
    return TaskId(f"supervisor:{name}")


def api(cluster: str) -> TaskId:
    """The Kubernetes API answers through the published port."""
    return TaskId(f"api:{cluster}")


def join(name: str) -> TaskId:
    """The server is a voting member."""
    return TaskId(f"join:{name}")


def settle(name: str) -> TaskId:
    """Etcd takes another member: the next server may start."""
    return TaskId(f"settle:{name}")


def ready(name: str) -> TaskId:
    """The Node object is Ready."""
    return TaskId(f"ready:{name}")


def quorum(cluster: str) -> TaskId:
    """Most servers are Ready, and the rest is up."""
    return TaskId(f"quorum:{cluster}")


def system(cluster: str) -> TaskId:
    """What k3s deploys is available."""
    return TaskId(f"system:{cluster}")


def standby(name: str) -> TaskId:
    """The load balancer knows which servers are not to get connections yet."""
    return TaskId(f"standby:{name}")


def balance(name: str) -> TaskId:
    """The load balancer uses every server."""
    return TaskId(f"balance:{name}")


def kubeconfig(cluster: str) -> TaskId:
    """The user's kubeconfig knows the cluster."""
    return TaskId(f"kubeconfig:{cluster}")


def remove(kind: str, name: str) -> TaskId:
    """The thing of that kind is gone."""
    return TaskId(f"remove-{kind}:{name}")


def build(tags: str) -> TaskId:
    """The engine has the images."""
    return TaskId(f"build:{tags}")


def export(source: str) -> TaskId:
    """The images or the archive have been read to the end."""
    return TaskId(f"export:{source}")


def load(node: str) -> TaskId:
    """The node has the images."""
    return TaskId(f"load:{node}")


def stop(name: str) -> TaskId:
    """The container does not run any more."""
    return TaskId(f"stop:{name}")


def pause(name: str) -> TaskId:
    """The container's processes are frozen."""
    return TaskId(f"pause:{name}")


def keep(name: str) -> TaskId:
    """The container has given up its name, and serves as before."""
    return TaskId(f"keep:{name}")


def swap(name: str) -> TaskId:
    """The new container of that name has the old one's places and host ports."""
    return TaskId(f"swap:{name}")


def serve(name: str) -> TaskId:
    """The API answers through the new load balancer."""
    return TaskId(f"serve:{name}")


def drain(name: str) -> TaskId:
    """The node's pods are elsewhere, or had their time."""
    return TaskId(f"drain:{name}")


def leave(name: str) -> TaskId:
    """The server is no member of etcd any more."""
    return TaskId(f"leave:{name}")


def forget(name: str) -> TaskId:
    """The cluster does not know the node any more."""
    return TaskId(f"forget:{name}")


def attach(name: str, network: str) -> TaskId:
    """The container is in that further network."""
    return TaskId(f"attach:{name}/{network}")
