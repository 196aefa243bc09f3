"""Lists as k3d prints them."""

from k3dasync.commands._tables import columns, structured


def test_cells_are_padded_to_the_widest_and_three_blanks() -> None:
    """Six at least; the last column is as it is, so that no line ends with blanks."""
    rows = [["NAME", "SERVERS", "TOKEN"], ["a", "1/1", "hush"], ["longer-name", "0/13", "x"]]

    assert [
        "NAME          SERVERS   TOKEN",
        "a             1/1       hush",
        "longer-name   0/13      x",
    ] == columns(rows).splitlines()
    assert "a     b" == columns([["a", "b"]])
    assert "" == columns([])


def test_json_is_one_line_and_yaml_has_sorted_keys() -> None:
    """In every level; texts that YAML would take for something else are quoted."""
    value = [{"b": {"d": "1", "c": None}, "a": [True, "no"]}]

    assert '[{"b":{"d":"1","c":null},"a":[true,"no"]}]' == structured(value, "json")
    assert "- a:\n  - true\n  - 'no'\n  b:\n    c: null\n    d: '1'" == structured(value, "yaml")
