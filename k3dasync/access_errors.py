"""What goes wrong when a cluster that is there is looked into or used. Pure.

K3dAsyncError
├── ClusterDown        it does not run                         exit 1
├── ExportIncomplete   a bug report lacks something            exit 1
├── ProgramUnusable    a program cannot be run                 exit 1
└── TagsUnavailable    a registry does not list its tags       exit 1
"""

from collections.abc import Sequence

from k3dasync.errors import K3dAsyncError


class ClusterDown(K3dAsyncError):
    """The cluster does not run, so that nobody answers."""

    code = "CLUSTER_DOWN"
    remedy = "Start it as the error says."

    def __init__(self, cluster: str, state: str, cure: str) -> None:
        super().__init__(f"cluster {cluster} is {state}; run: k3dasync {cure} {cluster}")


class ExportIncomplete(K3dAsyncError):
    """Something that belongs into an export could not be had; all else is in it."""

    code = "EXPORT_INCOMPLETE"
    remedy = "The archive says in `problems.txt` what it lacks; it is of use all the same."

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(f"{path} is not complete: {problems[0]}{more}")


class ProgramUnusable(K3dAsyncError):
    """A program that is to be run for you cannot be."""

    code = "PROGRAM_UNUSABLE"
    remedy = "Install it, or correct the variable that names it."

    def __init__(self, program: str, words: str) -> None:
        super().__init__(f"cannot run {program}: {words}")


class TagsUnavailable(K3dAsyncError):
    """A registry does not say which tags a repository has."""

    code = "TAGS_UNAVAILABLE"
    remedy = "Look at the network, the proxy, or log in with docker login."

    def __init__(self, repository: str, words: str) -> None:
        super().__init__(f"cannot list the tags of {repository}: {words}")
