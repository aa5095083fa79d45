"""Where a setting's value comes from, and what is refused on the way."""

import os
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.config import load
from sidechain.agents.local_kafka import Running
from sidechain.agents.problems import UsageProblem
from sidechain.topics.catalog import catalog

FILE = """
bootstrap: file:9092
pack: web
topics: {events: shop.requests}
profiles:
  prod:
    bootstrap: profile:9093
    security_protocol: SASL_SSL
    sasl_password_file: secrets/kafka
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sidechain.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def home(tmp_path):
    """An environment that holds nothing but a home."""
    return {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.parametrize(
    ("flags", "environment", "profile", "expected", "origin"),
    [
        ({"bootstrap": "flag:1"}, {"SIDECHAIN_BOOTSTRAP": "env:1"}, "prod", "flag:1", "--bootstrap"),
        ({"bootstrap": None}, {"SIDECHAIN_BOOTSTRAP": "env:1"}, "prod", "env:1", "SIDECHAIN_BOOTSTRAP"),
        ({}, {"SIDECHAIN_BOOTSTRAP": ""}, "prod", "profile:9093", "profile prod"),
        ({}, {}, None, "file:9092", "sidechain.yaml"),
        ({}, {"SIDECHAIN_PROFILE": "prod"}, None, "profile:9093", "profile prod"),
    ],
    ids=["flag", "environment", "profile", "file", "profile named in the environment"],
)
def test_the_nearest_source_wins(file, home, flags, environment, profile, expected, origin):
    found = load(flags, file=file, profile=profile, environ=home | environment)
    assert found.config.bootstrap == expected
    assert found.origins["bootstrap"].endswith(origin)


def test_without_any_source_the_default_holds(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load(environ=home)
    assert (found.config.bootstrap, found.origins["bootstrap"]) == ("127.0.0.1:9092", "default")
    assert found.config.data == tmp_path / "data" / "sidechain"
    assert found.config.cache == tmp_path / "cache" / "sidechain"


def test_a_relative_xdg_folder_is_ignored_as_its_rules_say(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = load(environ=home | {"XDG_DATA_HOME": "relative"})
    assert found.config.data == tmp_path / "home" / ".local" / "share" / "sidechain"


def test_a_local_broker_that_runs_is_where_we_connect(home, tmp_path, monkeypatch):
    """Only where nobody said otherwise. The running process is this one: its command line is what is looked at."""
    monkeypatch.chdir(tmp_path)
    broker = tmp_path / "data" / "sidechain" / "broker"
    broker.mkdir(parents=True)
    (broker / "run.json").write_bytes(msgspec.json.encode(Running(pid=os.getpid(), port=4711, log="x")))
    monkeypatch.setattr(
        "sidechain.agents.local_kafka.is_ours", lambda pid, folder: (pid, folder) == (os.getpid(), broker)
    )
    assert load(environ=home).config.bootstrap == "127.0.0.1:4711"
    assert load({"bootstrap": "other:1"}, environ=home).config.bootstrap == "other:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bootstap: x", "unknown setting bootstap; did you mean bootstrap?"),
        ("sasl_password: hunter2", "secrets come from files: sasl_password_file"),
        ("partitions: many", "partitions"),
        ("partitions: 0", "partitions"),
        ("security_protocol: TLS", "security_protocol"),
        ("topics: {event: x}", "unknown topic event; did you mean events?"),
        ("topics: {events: 'a b'}", "topics.events: Kafka allows"),
        ("topics: events", "topics: a map"),
        ("pack: web\npolicy: x.yaml", "both a pack and a policy"),
        ("profiles: {prod: {bootstap: x}}", "profile prod: unknown setting bootstap"),
        ("profiles: {prod: {partitions: -1}}", "profile prod: partitions"),
        ("profiles: [prod]", "profiles must be a map"),
        ("- 1", "a map of settings"),
        ("a: [", ":1:5: not YAML"),
        ("!!python/object/apply:os.system [x]", "not YAML"),
    ],
)
def test_what_the_file_gets_wrong_is_said_in_one_sentence(tmp_path, home, text, sentence):
    path = tmp_path / "sidechain.yaml"
    path.write_text(text)
    with pytest.raises(UsageProblem) as problem:
        load(file=path, environ=home)
    assert sentence in str(problem.value)
    assert str(path) in str(problem.value)
    assert "hunter2" not in str(problem.value)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("SIDECHAIN_BOOTSTAP", "x", "did you mean SIDECHAIN_BOOTSTRAP?"),
        ("SIDECHAIN_SASL_PASSWORD", "hunter2", "secrets come from files: SIDECHAIN_SASL_PASSWORD_FILE"),
        ("SIDECHAIN_TOPIC_EVENT", "x", "did you mean SIDECHAIN_TOPIC_EVENTS?"),
        ("SIDECHAIN_METRICS_PORT", "70000", "metrics_port"),
        ("SIDECHAIN_PROFILE", "prod", "no sidechain.yaml here"),
    ],
)
def test_what_the_environment_gets_wrong_is_said_in_one_sentence(
    tmp_path, home, monkeypatch, variable, value, sentence
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem) as problem:
        load(environ=home | {variable: value})
    assert sentence in str(problem.value)
    assert "hunter2" not in str(problem.value)


@pytest.mark.parametrize(
    "name", ["SIDECHAIN_DRY_SERVICE_HOST", "SIDECHAIN_DRY_PORT", "SIDECHAIN_DRY_PORT_9102_TCP_ADDR"]
)
def test_what_kubernetes_puts_into_a_container_is_no_setting(home, tmp_path, monkeypatch, name):
    """A service called sidechain-dry must not stop every container beside it."""
    monkeypatch.chdir(tmp_path)
    assert load(environ=home | {name: "tcp://10.0.0.1:9102"}).config.bootstrap == "127.0.0.1:9092"


def test_a_path_is_relative_to_where_it_is_written(file, home, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load({"jars": Path("jars")}, file=file, profile="prod", environ=home).config
    assert config.sasl_password_file == tmp_path / "secrets" / "kafka"
    assert config.jars == elsewhere / "jars"


def test_a_policy_given_nearer_replaces_a_pack_given_further_away(file, home):
    config = load({"policy": Path("mine.yaml")}, file=file, environ=home).config
    assert (config.pack, config.policy is not None) == (None, True)


@pytest.mark.parametrize(
    ("more", "logical", "name"),
    [
        ({}, "events", "shop.requests"),
        ({}, "dry.decisions", "sidechain.web.dry.decisions"),
        ({"SIDECHAIN_PREFIX": "my-"}, "dry.decisions", "my-dry.decisions"),
        ({"SIDECHAIN_PREFIX": "my-"}, "events", "shop.requests"),
        ({"SIDECHAIN_TOPIC_EVENTS": "env.requests"}, "events", "env.requests"),
        ({"SIDECHAIN_TOPIC_DRY_DECISIONS": "sealed"}, "dry.decisions", "sealed"),
        ({"SIDECHAIN_PACK": "network"}, "control", "sidechain.network.control"),
    ],
)
def test_every_topic_has_a_prefix_or_a_name_of_its_own(file, home, more, logical, name):
    assert load(file=file, environ=home | more).config.topic(logical) == name


def test_a_topic_the_catalogue_does_not_have_is_our_mistake(file, home):
    with pytest.raises(KeyError):
        load(file=file, environ=home).config.topic("dry.decision")


def test_without_a_pack_there_is_no_prefix(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem, match="--pack NAME or --policy FILE"):
        load(environ=home).config.topic("events")
    assert load({"prefix": "x."}, environ=home).config.topic("events") == "x.events"


@pytest.mark.parametrize(
    ("bootstrap", "loopback"),
    [
        ("127.0.0.1:9092", True),
        ("localhost:9092,127.0.0.2:9093", True),
        ("[::1]:9092", True),
        ("127.0.0.1:9092, kafka:9092", False),
        ("127.0.0.1.example:9092", False),
    ],
)
def test_loopback_means_every_broker_is_this_machine(home, bootstrap, loopback):
    assert load({"bootstrap": bootstrap}, environ=home).config.loopback is loopback


def test_settings_are_typed_from_text(home):
    environment = {
        "SIDECHAIN_PARTITIONS": "16",
        "SIDECHAIN_COMMIT_TIMEOUT_S": "2.5",
        "SIDECHAIN_PSEUDONYM_KEY_FILE": "~/k",
    }
    config = load(environ=home | environment).config
    assert (config.partitions, config.commit_timeout_s) == (16, 2.5)
    assert config.pseudonym_key_file == Path.home() / "k"


def test_every_topic_can_be_named_in_the_environment(home):
    """The variable's name is the topic's, in capitals, so no two topics may share it."""
    variables = {f"SIDECHAIN_TOPIC_{name.upper().replace('.', '_')}": f"t.{name}" for name in catalog()}
    assert len(variables) == len(catalog())
    assert load(environ=home | variables).config.topics == {name: f"t.{name}" for name in catalog()}


def test_config_show_says_where_each_value_comes_from_and_hides_credentials(sidechain, file, home):
    environment = os.environ | home | {"SIDECHAIN_MIRROR": "https://anna:hunter2@mirror.example/maven"}
    done = sidechain("config", "show", "--config", str(file), "--profile", "prod", "--json", env=environment)
    assert done.returncode == 0
    shown = msgspec.json.decode(done.stdout)
    assert shown["bootstrap"] == {"value": "profile:9093", "origin": f"{file}, profile prod"}
    assert shown["topics.events"] == {"value": "shop.requests", "origin": str(file)}
    assert shown["mirror"] == {"value": "https://***@mirror.example/maven", "origin": "SIDECHAIN_MIRROR"}
    assert "hunter2" not in done.stdout + done.stderr
