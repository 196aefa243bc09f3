"""Variables in the text of a config file, as Go's os.ExpandEnv has them. Pure."""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"""\$(?:
        \{ (?P<braced>[^}]*) \}     # ${NAME}; Go lets any text stand there, and eats ${}
        | (?P<open>\{)              # ${ that nobody closes is eaten too
        | (?P<special>[*\#$@!?0-9-])  # one character, as the shell's own variables
        | (?P<name>[A-Za-z0-9_]+)
    )""",
    re.VERBOSE,
)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with `$NAME` and `${NAME}` replaced; those that are not set are empty.

    `$$` stands for a `$`: with k3d, which eats it, there is no way to write one.
    """

    def value(found: re.Match[str]) -> str:
        if found["special"] == "$":
            return "$"
        return environ.get(found["braced"] or found["special"] or found["name"] or "", "")

    return _VARIABLE.sub(value, text)
