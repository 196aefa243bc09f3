"""What users write wrong, by what it is about: each a SpecError, so that the exit code is 2."""

from k3dasync.errors import InvalidSyntax, SpecError


class InvalidName(SpecError):
    """A cluster cannot be called so: its name becomes part of hostnames."""

    code = "INVALID_NAME"
    remedy = "Use small letters, digits, `-` and `.`, at most 32 characters."


class InvalidImage(SpecError):
    """A text is not the name of an image."""

    code = "INVALID_IMAGE"
    remedy = "Write `[HOST/]NAME[:TAG]`, or a channel: `latest`, `stable`, `+v1.31`."


class InvalidDuration(SpecError):
    """A text is not a duration."""

    code = "INVALID_DURATION"
    remedy = "Write numbers with units: `90s`, `1m30s`; `0s` is no limit."


class InvalidApiPort(InvalidSyntax):
    """A text does not say where to publish the Kubernetes API."""

    code = "INVALID_API_PORT"
    remedy = "Write `[HOST:]PORT`, an IPv6 address in brackets, or `random`."


class InvalidSubnet(SpecError):
    """A subnet is no IPv4 CIDR, is not for machines, or has no room for the nodes."""

    code = "INVALID_SUBNET"
    remedy = "Name a larger private range such as `10.60.0.0/24`, or `auto`."


class InvalidCount(SpecError):
    """A cluster cannot have so many servers or agents."""

    code = "INVALID_COUNT"
    remedy = "At least one server, no fewer than no agents."


class InvalidJoin(SpecError):
    """There is no such order in which servers join."""

    code = "INVALID_JOIN"
    remedy = "`--join=pipelined` or `serial`."


class InvalidWait(SpecError):
    """There is no such level to wait for, or it does not stand after `=`."""

    code = "INVALID_WAIT"
    remedy = "`--wait=none`, `api`, `quorum`, `nodes` or `all`."


class InvalidNetwork(SpecError):
    """Nodes cannot be on that network."""

    code = "INVALID_NETWORK"
    remedy = "Leave `--network` out, or name one of your own that has an IPv4 range."


class InvalidDatastore(SpecError):
    """k3s could not use that datastore."""

    code = "INVALID_DATASTORE"
    remedy = "Write an endpoint as nodes reach it, its two key files together."


class InvalidRegistries(SpecError):
    """A registries.yaml is none, or a registry cannot be a mirror of that address."""

    code = "INVALID_REGISTRIES"
    remedy = "See k3s' documentation of registries.yaml."


class InvalidRuntime(SpecError):
    """`--runtime` names no backend."""

    code = "INVALID_RUNTIME"
    remedy = "Leave it out; `fake` rehearses."


class InvalidSetting(SpecError):
    """An environment variable of k3dasync's own has a value that means nothing."""

    code = "INVALID_SETTING"
    remedy = "Unset the variable that is named, or see the table of variables in README.md."


class InvalidOutput(SpecError):
    """There is no such form of output, or it cannot be written where it is to go."""

    code = "INVALID_OUTPUT"
    remedy = "The command's `--help` lists the forms."


class FileUnreadable(SpecError):
    """A file that is named cannot be read."""

    code = "FILE_UNREADABLE"
    remedy = "Correct the path or the permissions."


class ConflictingFlags(SpecError):
    """Flags exclude one another, or one is of no use without another."""

    code = "CONFLICTING_FLAGS"
    remedy = "Leave one of those named out, or add the one that is missing."


class UnknownCommand(SpecError):
    """A word names no command, and no plugin on PATH."""

    code = "UNKNOWN_COMMAND"
    remedy = "`k3dasync --help` lists the commands."


class UnknownFlag(SpecError):
    """The command has no such flag."""

    code = "UNKNOWN_FLAG"
    remedy = "The command's `--help` lists its flags."


class MissingValue(SpecError):
    """A flag or an argument lacks its value."""

    code = "MISSING_VALUE"
    remedy = "Give the value behind the flag, or the names."


class InvalidValue(SpecError):
    """A flag's value is of another type, or none of its choices."""

    code = "INVALID_VALUE"
    remedy = "The error says what was expected."


class UnexpectedArgument(SpecError):
    """More words than the command takes."""

    code = "UNEXPECTED_ARGUMENT"
    remedy = "Leave it out; quote a value that has blanks in it."


class UsageError(SpecError):
    """The command line cannot be understood in another way."""

    code = "USAGE"
    remedy = "See the command's `--help`."
