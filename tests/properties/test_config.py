"""Config files of any kind: what is printed is read again, and nothing crashes."""

import json
import string
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from k3dasync.config import expansion, loading, validation
from k3dasync.config.migration import migrate
from k3dasync.config.schemas import CURRENT, VERSIONS, Schema, api_version, schema
from k3dasync.config.writing import document_of, without_secrets, yaml_of
from k3dasync.errors import SpecError
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.joins import JoinOrder
from k3dasync.grammar.node_files import NodeFile
from k3dasync.grammar.registries import RegistryReference
from k3dasync.grammar.words import ULIMITS, HostAlias, Ulimit
from k3dasync.spec import ApiPort, ClusterSpec, Datastore, RegistryProxy, RegistrySpec, WaitLevel
from tests.unit.grammar.test_grammars import exposures, host_names, node_filters, port_mappings

big = settings(
    max_examples=60,
    # What is drawn has dozens of parts: to make it smaller would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)
# What YAML can hold: no control characters, no halves of characters.
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=20
)
words = st.text(f"{string.ascii_letters}{string.digits}:.-+*[]{{}}'\"#&!|>%@~`,=_", max_size=12)
addresses = st.ip_addresses().map(str)
filters = st.lists(node_filters, max_size=3).map(tuple)


def filtered(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Filtered, ...]]:
    return st.lists(st.builds(Filtered, values, filters), max_size=2).map(tuple)


labels = st.builds(
    lambda key, value: f"x{key}{value}", names, st.just("") | words.map("={}".format)
)
memory = st.just(0) | st.integers(6 * 2**20, 2**42)
gpus = st.builds(GpuRequest, count=st.integers(-1, 8).filter(bool)) | st.builds(
    GpuRequest,
    count=st.just(0),
    driver=names,
    devices=st.lists(names, min_size=1, max_size=3).map(tuple),
    capabilities=st.just(("utility", "gpu")),
    options=st.lists(st.tuples(names, names), max_size=2).map(tuple),
)
files = st.builds(
    NodeFile,
    source=st.builds("{}\n{}".format, texts, texts) | names.map("/from/{}".format),
    destination=names.map("/to/{}".format),
    filters=filters,
    description=words,
)
registry = st.builds(
    RegistrySpec,
    name=st.none() | names,
    exposure=exposures,
    image=st.none() | names,
    proxy=st.none() | st.builds(RegistryProxy, names.map("https://{}".format), words, words),
    volumes=st.lists(names.map("/at/{}".format), max_size=2).map(tuple),
    enforce_port_match=st.booleans(),
)
datastores = st.builds(
    lambda endpoint, ca, pair: Datastore(
        endpoint=endpoint, cafile=ca, **dict.fromkeys(["certfile", "keyfile"], pair)
    ),
    names.map("https://{}:2379".format),
    st.none() | names.map("/pem/{}".format),
    st.none() | names.map("/pem/{}".format),
)
durations = st.none() | st.integers(1, 10**18).map(lambda nanoseconds: round(nanoseconds / 1e9, 9))
specs = st.builds(
    ClusterSpec,
    name=names,
    servers=st.integers(1, 9),
    agents=st.integers(0, 9),
    image=names,
    network=st.none() | names,
    subnet=st.none() | st.just("10.1.2.0/24"),
    token=st.none() | st.text(string.ascii_letters + string.digits, min_size=1, max_size=9),
    api_port=st.builds(
        ApiPort,
        st.none() | host_names,
        st.none() | st.integers(1, 65535),
        st.none() | addresses,
    ),
    datastore=st.none() | datastores,
    loadbalancer=st.booleans(),
    rollback=st.booleans(),
    wait=st.sampled_from(WaitLevel),
    join=st.sampled_from(JoinOrder),
    ttl=st.none() | st.integers(1, 10**9).map(float),
    timeout=durations,
    kubeconfig_update_default=st.booleans(),
    kubeconfig_switch_context=st.booleans(),
    image_volume=st.booleans(),
    external_image_volume=st.none() | names,
    host_pid_mode=st.booleans(),
    servers_memory=memory,
    agents_memory=memory,
    gpus=st.none() | gpus,
    balancer=st.builds(BalancerSettings, st.integers(1, 9999), st.integers(1, 9999)),
    env=filtered(labels),
    ports=filtered(port_mappings().map(str)),
    volumes=filtered(names.map("/at/{}:/to".format)),
    k3s_args=filtered(texts),
    node_labels=filtered(labels),
    runtime_labels=filtered(labels),
    ulimits=st.lists(
        st.builds(
            lambda name, soft, more: Ulimit(name, soft, -1 if min(soft, more) < 0 else soft + more),
            st.sampled_from(ULIMITS),
            st.integers(-1, 2**62),
            st.integers(-1, 9),
        ),
        max_size=2,
    ).map(tuple),
    host_aliases=st.lists(
        st.builds(HostAlias, addresses, st.lists(names, min_size=1, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
    registry=st.none() | registry,
    registries=st.lists(st.builds(RegistryReference, names), max_size=2).map(tuple),
    registry_config=st.just("") | names.map("mirrors:\n  {}: {{}}\n".format),
    files=st.lists(files, max_size=2).map(tuple),
)


def reread(text: str) -> ClusterSpec:
    return loading.interpret(text, "c.yaml", text_of=lambda given: given).spec


@big
@given(specs)
def test_a_spec_is_read_as_it_is_printed(spec: ClusterSpec) -> None:
    """What `config view` prints asks for the same cluster, and follows the schema."""
    document = document_of(spec)

    assert [] == list(validation.violations(document, schema(CURRENT)))
    assert spec == reread(yaml_of(document))
    assert document == document_of(reread(yaml_of(document)))
    # JSON is YAML, too.
    assert spec == reread(json.dumps(document, ensure_ascii=False))


def test_every_field_of_a_spec_is_printed() -> None:
    """None is forgotten in the table, nor in the strategy above."""
    drawn: Any = specs
    drawn = getattr(drawn, "wrapped_strategy", drawn)

    assert set(ClusterSpec.__struct_fields__) == set(drawn.kwargs)


@big
@given(specs)
def test_nothing_secret_is_shown(spec: ClusterSpec) -> None:
    """No token, no password, no datastore's address, nothing of a registries.yaml."""
    secret = "a-secret-that-stands-nowhere-else"
    proxy = RegistryProxy(f"https://me:{secret}@far.example", "me", secret)
    spec = msgspec.structs.replace(
        spec,
        token=secret,
        datastore=Datastore(endpoint=f"postgres://me:{secret}@far.example/k3s"),
        registry=RegistrySpec(name="r", proxy=proxy),
        registry_config=f"configs:\n  x: {{auth: {{password: {secret}}}}}\n",
    )

    assert secret in yaml_of(document_of(spec))
    assert secret not in yaml_of(document_of(without_secrets(spec)))


def field_values(schema: Schema) -> st.SearchStrategy[Any]:
    """Return values that a schema allows, most of them without a meaning."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            known = {name: field_values(one) for name, one in schema["properties"].items()}
            required = {name: known.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=known)
        case "array":
            return st.lists(field_values(schema["items"]), max_size=2)
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", -5), 9)
        case "string" if "format" in schema:
            return names
        case "string" if "anyOf" in schema:
            return addresses
        case _:
            return words | texts | st.sampled_from(["8080:80", "server:0", "1g", "5m"])


scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | texts
junk = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=5,
)


def spoilt(document: Any, draw: Any) -> Any:
    """Return a document with junk somewhere in it."""
    if not isinstance(document, dict | list) or not document or draw(st.integers(0, 3)) == 0:
        return draw(junk)
    if isinstance(document, list):
        index = draw(st.integers(0, len(document) - 1))
        return [
            spoilt(one, draw) if number == index else one for number, one in enumerate(document)
        ]
    if draw(st.integers(0, 3)) == 0:
        return {**document, draw(words): draw(junk)}
    name = draw(st.sampled_from(sorted(document)))
    return {**document, name: spoilt(document[name], draw)}


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Return a document of any version, valid for the schema or with something odd in it."""
    document = draw(field_values(schema(draw(st.sampled_from(VERSIONS)))))
    return spoilt(document, draw) if draw(st.booleans()) else document


def refused(text: str) -> str:
    """Return why a text is refused, nothing if it is not."""
    try:
        reread(text)
    except SpecError as error:
        return str(error)
    return ""


@big
@given(documents())
def test_no_document_crashes(document: Any) -> None:
    """It is a spec, or an error that names the file."""
    for text in (json.dumps(document, ensure_ascii=False), yaml_of(document)):
        error = refused(text)
        assert not error or "c.yaml" in error


@given(st.text(max_size=60) | st.text("{}[]:- \n!&*<|>'\"#ab0%@`?,", max_size=60))
def test_no_text_crashes(text: str) -> None:
    """Whatever it is, YAML or not, with variables or without."""
    assert refused(expansion.expand(text, {"a": "b"}))
    refused(f"apiVersion: {api_version(CURRENT)}\nkind: Simple\nenv: {text}")


@big
@given(st.data(), st.sampled_from(VERSIONS))
def test_what_is_migrated_follows_the_newest_schema(data: st.DataObject, version: str) -> None:
    """Every document that an older schema allows; and it is valid YAML."""
    document = data.draw(field_values(schema(version)))
    found = migrate(document, version).document

    assert [] == list(validation.violations(found, schema(CURRENT)))
    checked = loading.check(yaml_of(found), "c.yaml")
    assert (found, ()) == (checked.document, checked.violations)


@given(texts)
def test_a_doubled_dollar_is_an_escape(text: str) -> None:
    """So any text can stand in a file."""
    assert text == expansion.expand(text.replace("$", "$$"), {"a": "b"})
