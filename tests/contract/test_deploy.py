"""What is deployed agrees with what is built: settings, commands, ports, users, packages. No container engine needed.

The compose file is checked against the Compose specification's own schema, then read as Compose reads it: with its
variables filled in.
"""

import base64
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import distribution

import pytest
import yaml
from jsonschema.validators import validator_for
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.agents.cli.commands import COMMANDS
from sidechain.agents.config import load
from sidechain.agents.local_kafka import free_port
from sidechain.agents.settings import Config
from sidechain.agents.worker import GRACE_S
from sidechain.models.pack_file import load_pack
from tests.deployed import DEPLOY, ROOT, from_yaml

WORKERS = ("dry", "tap", "wet", "aggregator")
OURS = (*WORKERS, "shadow", "drift", "trainer", "optimizer", "sentinel", "topics")
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
# `${NAME:-default}` is the only form we use: everything works without an environment.
COMPOSE = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", TEXT))
SERVICES = COMPOSE["services"]
EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)


def pins(path: str) -> dict[str, str]:
    """Package -> version of a compiled requirements file."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))


def instructions(word: str) -> list[str]:
    """The arguments of every such line of the Dockerfile."""
    return re.findall(rf"^{word} (.+)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def settings(name: str) -> Config:
    """The settings as the service's process finds them. An unknown one would be refused here as there."""
    return load(environ=SERVICES[name]["environment"] | {"HOME": "/tmp"}).config


def test_the_compose_file_follows_the_specification():
    """A misspelt key is ignored by some engines and refused by others."""
    # The schema only: its package's command line does not start beside the click that our other packages ask for.
    found = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(ROOT.joinpath(str(found)).read_text(encoding="utf-8"))
    validator = validator_for(schema)(schema)
    assert [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(COMPOSE)] == []
    assert list(validator.iter_errors({"services": {"a": {"imag": "b"}}})), "the schema lets everything through"


def test_every_variable_has_a_default():
    """`docker compose up` needs nothing but the key file."""
    assert "$" not in yaml.safe_dump(COMPOSE)


@EVERY_SERVICE
def test_a_service_is_confined(name):
    """No rights to gain, bounds on memory and processes, a check of its health or an end."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert service["pids_limit"] <= 512
    assert service["healthcheck"].get("test") or (name == "topics" and service["restart"] == "on-failure:3")


@EVERY_SERVICE
def test_a_service_names_a_version(name):
    """`latest` is another program every month. Ours are built here."""
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    if name in OURS:
        assert SERVICES[name]["build"]["target"] == image.removeprefix("sidechain-")
    else:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


@EVERY_SERVICE
def test_ports_are_open_to_this_machine_only(name):
    """Nothing here has a password."""
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_nothing_and_are_nobody(name):
    """The user of the image, a root file system that cannot be written, time enough for a clean stop."""
    service = SERVICES[name]
    assert [service["user"]] == instructions("USER")
    assert int(service["user"].partition(":")[0]) >= 10_000
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["init"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) > settings(name).shutdown_timeout_s + GRACE_S


@pytest.mark.parametrize("name", OURS)
def test_settings_and_commands_exist(name):
    """What the container is told is understood, and what it is to run is a command of ours."""
    service = SERVICES[name]
    loaded = settings(name)
    assert loaded.bootstrap in {
        listener.removeprefix("INSIDE://")
        for listener in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    }
    assert loaded.pack == "web"
    command = " ".join(service["command"])
    assert any(command == known or command.startswith(f"{known} ") for known in COMMANDS), command


def test_workers_wait_for_their_topics():
    """And whoever is waited for exists, and can say that it is ready."""
    for name in WORKERS:
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], f"{name} waits for {other}"
            assert set(SERVICES[other]["networks"]) & set(service["networks"]), f"{name} cannot reach {other}"


def test_the_wet_side_holds_no_key_and_little_processor():
    """It knows entities by pseudonym only, and its backlog cannot take the processor from decisions."""
    assert {name for name, service in SERVICES.items() if service.get("secrets")} == {"dry", "tap"}
    for name in ("dry", "tap"):
        assert SERVICES[name]["environment"]["SIDECHAIN_PSEUDONYM_KEY_FILE"] == "/run/secrets/pseudonym_key"
    for name in ("wet", "aggregator"):
        assert "SIDECHAIN_PSEUDONYM_KEY_FILE" not in SERVICES[name]["environment"]
        assert SERVICES[name]["cpus"] < 1
    assert SERVICES["tap"]["cpus"] < 1
    for name in ("shadow", "trainer", "optimizer", "sentinel"):
        assert SERVICES[name]["cpus"] < 1
    assert set(COMPOSE["secrets"]) == {"pseudonym_key"}


def test_prometheus_scrapes_every_worker():
    """Names, ports and networks agree; so does what Grafana asks."""
    scraped = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in from_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    }
    ports = {name: settings(name).metrics_port for name in WORKERS}
    assert scraped == {f"sidechain-{name}": [f"{name}:{port}"] for name, port in ports.items()}
    for name in WORKERS:
        assert "watch" in SERVICES[name]["networks"]
        assert f"http://127.0.0.1:{ports[name]}/metrics" in SERVICES[name]["healthcheck"]["test"][-1]
    source = from_yaml("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert (
        source["jsonData"]["timeInterval"] == from_yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"]
    )


def test_those_that_watch_look_at_every_worker():
    """By the names and ports they have; the sentinel at the optimizer, too, and at Prometheus."""
    ports = {name: settings(name).metrics_port for name in (*WORKERS, "optimizer")}
    for name, seen in (("optimizer", WORKERS), ("sentinel", (*WORKERS, "optimizer"))):
        assert settings(name).metrics_targets.split(",") == [f"{one}:{ports[one]}" for one in seen]
        assert "watch" in SERVICES[name]["networks"]
    assert settings("sentinel").prometheus_url == "http://prometheus:9090"


def test_what_is_mounted_exists_and_cannot_be_written():
    """Grafana finds the dashboards where the provider looks for them."""
    mounted = {}
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
                assert mode == ["ro"], volume
                mounted[target] = source
            else:
                assert source in COMPOSE["volumes"]
    provider = from_yaml("deploy/grafana/provisioning/dashboards/sidechain.yaml")["providers"][0]
    assert mounted[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted[home.rpartition("/")[0]] / home.rpartition("/")[2]).is_file()


def test_kafka_is_configured_completely():
    """The image drops its own file as soon as one setting is given, so every listener must be spelt out."""
    given = SERVICES["kafka"]["environment"]
    listeners = dict(one.split("://") for one in given["KAFKA_LISTENERS"].split(","))
    assert set(listeners) == {one.split(":")[0] for one in given["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = dict(one.split("://") for one in given["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert {name: place.rpartition(":")[2] for name, place in advertised.items()} == {
        name: place.rpartition(":")[2]
        for name, place in listeners.items()
        if name != given["KAFKA_CONTROLLER_LISTENER_NAMES"]
    }
    assert given["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{given['KAFKA_NODE_ID']}@kafka{listeners['CONTROLLER']}"
    assert given["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert given["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert len(base64.urlsafe_b64decode(given["CLUSTER_ID"] + "==")) == 16, "Kafka refuses any other length"
    assert f"kafka:{given['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"]


def test_the_image_is_told_to_stop_politely():
    """SIGTERM, to our process and not to a shell around it."""
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert [json.loads(line) for line in instructions("ENTRYPOINT")] == [["sidechain"]]
    assert all(line.startswith("[") for line in instructions("CMD"))


def test_the_image_gets_what_it_copies():
    """Every source exists and is not kept out; every stage named is one of the file."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    stages = {re.split(r" AS ", line)[1] for line in instructions("FROM")}
    for line in instructions("COPY"):
        words = line.split()
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
            continue
        for source in words[:-1]:
            assert source.endswith("*") or (ROOT / source).exists(), source
            assert any(fnmatch(one, source) for one in kept), f"{source} is kept out by .dockerignore"
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets <= stages


@pytest.mark.parametrize("path", ["requirements.txt", "deploy/requirements-wet.txt", "deploy/requirements-build.txt"])
def test_packages_of_the_images_are_those_that_are_tested(path):
    """The same versions as in the environment of the tests, each with its hashes, from no named place."""
    tested, installed = pins("requirements-dev.txt"), pins(path)
    assert installed
    assert {name: tested.get(name) for name in installed} == installed, "run `make requirements`"
    text = (ROOT / path).read_text(encoding="utf-8")
    assert len(re.findall(r"==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", text)) == len(installed)
    assert not re.search(r"^-|://", text, re.MULTILINE)


def test_the_dry_image_cannot_learn():
    """No numpy and no scikit-learn in it: only the wet image has them."""
    assert {"numpy", "scikit-learn"} <= set(pins("deploy/requirements-wet.txt"))
    assert not {"numpy", "scikit-learn", "scipy"} & set(pins("requirements.txt"))
    assert set(pins("requirements.txt")) < set(pins("deploy/requirements-wet.txt"))


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("topics", "web"),
        ("dry", "web"),
        ("tap", "web"),
        ("shadow", "web"),
        ("aggregator", "payments"),
        ("optimizer", "web"),
        ("sentinel", "web"),
    ],
)
def test_what_runs_in_the_dry_image_needs_nothing_of_the_wet_one(name, pack, tmp_path):
    """With numpy and scikit-learn out of reach each gets as far as the cluster, which is not there: exit code 3."""
    key = tmp_path / "key"
    key.write_text("0123456789abcdef", encoding="ascii")
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(load_pack("web").text, encoding="utf-8")
    words = [one.replace("/candidates/candidate.yaml", str(candidate)) for one in SERVICES[name]["command"]]
    without = "import sys; sys.modules.update(numpy=None, scipy=None, sklearn=None)"
    start = f"{without}; from sidechain.agents.cli import main; sys.argv[0] = 'sidechain'; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, *words],
        env={
            "SIDECHAIN_PACK": pack,
            "SIDECHAIN_BOOTSTRAP": f"127.0.0.1:{free_port()}",
            "SIDECHAIN_PSEUDONYM_KEY_FILE": str(key),
            "SIDECHAIN_METRICS_TARGETS": "9464",
        },
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    assert "no Kafka" in done.stderr
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


DOCUMENTS = (
    "README.md",
    "topics/README.md",
    "models/packs/README.md",
    "models/wet/README.md",
    "deploy/README.md",
    "deploy/runbook.md",
    "tests/chaos/README.md",
)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_a_document_points_to_is_there(path):
    """A guarantee whose test has moved is a claim."""
    beside = (ROOT / path).parent
    pointed = re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", (ROOT / path).read_text(encoding="utf-8"))
    assert [one for one in pointed if not (beside / one).exists()] == []


@pytest.mark.parametrize("path", ["deploy/runbook.md", "deploy/README.md"])
def test_commands_in_the_documents_exist(path):
    """Whoever is woken at night types them as they stand: each command, and each of its options."""
    text = (ROOT / path).read_text(encoding="utf-8").replace("\n", " ")
    written = set(re.findall(r"`sidechain ([a-z][^`]*)`", text))
    assert written
    for words in written:
        known = [name for name in COMMANDS if words == name or words.startswith(f"{name} ")]
        assert known, f"sidechain {words}"
        page = [*known[0].split(), "--help"]
        told = CliRunner().invoke(build(page[:-1]), page, env={"COLUMNS": "200"}).stdout
        for option in re.findall(r"--[a-z-]+", words):
            assert f" {option} " in told, f"sidechain {words}: no {option}"
