"""Settings that reach a secured cluster: passwords over TLS and client certificates, on a real broker."""

import asyncio
import shutil
import subprocess

import pytest
from aiokafka.errors import KafkaConnectionError

from sidechain.agents.admin import administrator
from sidechain.agents.broker_probe import free_port
from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options

PLAIN_LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_dry="hunter2";'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, the broker's certificate and a client's, made for this test and valid for a day."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("NO openssl, so TLS to a broker is not tested")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "1")
    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("broker", "dry"):
        run(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names")
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    both = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker-store.pem").write_text(both)
    (folder / "password").write_text("hunter2\n")
    (folder / "wrong").write_text("hunter3\n")
    return folder


@pytest.fixture(scope="module")
def ports():
    return {"PLAINTEXT": free_port(), "CONTROLLER": free_port(), "SASL_SSL": free_port(), "SSL": free_port()}


@pytest.fixture(scope="module")
def secured(broker, private_broker, certificates, ports):
    """A broker that asks for a password on one port and for a certificate on another."""
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    kafka = private_broker(
        port=ports["PLAINTEXT"],
        quick=True,
        properties={
            "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
            "listeners": listeners,
            "advertised.listeners": ",".join(one for one in listeners.split(",") if "CONTROLLER" not in one),
            "listener.security.protocol.map": ",".join(
                f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in ports
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": PLAIN_LOGIN,
            "listener.name.ssl.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates / "broker-store.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates / "ca.pem"),
        },
    )
    kafka.start()
    return kafka


async def topics(**settings) -> list[str]:
    async with administrator(kafka_options(load(settings, environ={}).config)) as client:
        return await client.list_topics()


def test_settings_reach_a_secured_cluster_and_nothing_less_does(secured, certificates, ports):
    """One broker for all of it: each refusal is followed by what would have been let in."""
    sasl = {
        "bootstrap": f"127.0.0.1:{ports['SASL_SSL']}",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "dry",
        "sasl_password_file": certificates / "password",
        "ssl_ca_file": certificates / "ca.pem",
    }
    mutual = {
        "bootstrap": f"127.0.0.1:{ports['SSL']}",
        "security_protocol": "SSL",
        "ssl_ca_file": certificates / "ca.pem",
        "ssl_cert_file": certificates / "dry.pem",
        "ssl_key_file": certificates / "dry.key",
    }
    assert asyncio.run(topics(**sasl)) is not None
    assert asyncio.run(topics(**mutual)) is not None
    for wrong in (
        sasl | {"sasl_password_file": certificates / "wrong"},
        sasl | {"ssl_ca_file": None},  # the system's authorities do not know this broker
        mutual | {"ssl_cert_file": None, "ssl_key_file": None},
    ):
        with pytest.raises(KafkaConnectionError):
            asyncio.run(topics(**wrong))


def test_a_password_appears_nowhere(secured, certificates, ports, sidechain):
    """Not in a failure's sentence, not in what the settings show."""
    words = ["--bootstrap", f"127.0.0.1:{ports['SASL_SSL']}", "--prefix", "x."]
    environment = {
        "PATH": "",
        "HOME": str(certificates),
        "SIDECHAIN_SECURITY_PROTOCOL": "SASL_SSL",
        "SIDECHAIN_SASL_MECHANISM": "PLAIN",
        "SIDECHAIN_SASL_USERNAME": "dry",
        "SIDECHAIN_SASL_PASSWORD_FILE": str(certificates / "wrong"),
        "SIDECHAIN_SSL_CA_FILE": str(certificates / "ca.pem"),
    }
    refused = sidechain("topics", "show", *words, env=environment)
    assert refused.returncode == 3
    assert "Invalid username or password" in refused.stderr  # what the broker says, not that nobody is there
    shown = sidechain("config", "show", *words, "--json", env=environment)
    assert shown.returncode == 0
    for said in (refused.stdout, refused.stderr, shown.stdout, shown.stderr):
        assert "hunter" not in said
