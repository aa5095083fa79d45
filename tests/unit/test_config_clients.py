"""From settings to aiokafka's options: what is refused before a byte leaves this machine."""

import pytest

from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem, UsageProblem


@pytest.fixture
def options(tmp_path):
    """Options for settings; relative paths start in the test's folder."""

    def of(**settings):
        return kafka_options(load(settings, environ={"XDG_DATA_HOME": str(tmp_path)}).config)

    return of


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    return path


def test_a_plain_cluster_needs_an_address_only(options):
    assert options(bootstrap="a:1, b:2") == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}


def test_the_password_is_the_files_content_without_its_line_end(options, password):
    found = options(
        bootstrap="127.0.0.1:9092",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="dry",
        sasl_password_file=password,
    )
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("dry", "hunter2")
    assert "ssl_context" not in found


def test_a_password_does_not_travel_unencrypted(options, password):
    with pytest.raises(UsageProblem, match="unencrypted to kafka:9092; use SASL_SSL"):
        options(
            bootstrap="kafka:9092",
            security_protocol="SASL_PLAINTEXT",
            sasl_username="dry",
            sasl_password_file=password,
        )


def test_sasl_ssl_verifies_the_broker(options, password):
    import ssl

    found = options(
        bootstrap="kafka:9093", security_protocol="SASL_SSL", sasl_username="dry", sasl_password_file=password
    )
    assert found["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert found["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("settings", "problem", "sentence"),
    [
        ({"security_protocol": "SASL_SSL"}, UsageProblem, "needs sasl_username and sasl_password_file"),
        (
            {"security_protocol": "SASL_SSL", "sasl_username": "dry", "sasl_password_file": "absent"},
            EnvironmentProblem,
            "cannot be read",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_username": "dry", "sasl_password_file": "empty"},
            EnvironmentProblem,
            "is empty",
        ),
        ({"security_protocol": "SSL", "ssl_ca_file": "absent"}, EnvironmentProblem, "ssl_ca_file"),
        ({"security_protocol": "SSL", "ssl_ca_file": "empty"}, EnvironmentProblem, "ssl_ca_file"),
        ({"security_protocol": "SSL", "ssl_cert_file": "empty"}, UsageProblem, "go together"),
        (
            {"security_protocol": "SSL", "ssl_cert_file": "empty", "ssl_key_file": "empty"},
            EnvironmentProblem,
            "cannot be used",
        ),
    ],
)
def test_what_is_missing_is_named(options, tmp_path, monkeypatch, settings, problem, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("")
    with pytest.raises(problem, match=sentence):
        options(bootstrap="kafka:9093", **settings)
