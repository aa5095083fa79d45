"""How our clients reach the cluster: the settings as aiokafka takes them.

A password on an unencrypted line is refused unless every broker is on this machine; files with secrets are read here,
when a client is made, and nowhere else.
"""

import ssl
from pathlib import Path
from typing import Any

from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.settings import Config


def kafka_options(config: Config) -> dict[str, Any]:
    """Keyword arguments for AIOKafkaConsumer, AIOKafkaProducer and AIOKafkaAdminClient."""
    options: dict[str, Any] = {
        "bootstrap_servers": [one.strip() for one in config.bootstrap.split(",")],
        "security_protocol": config.security_protocol,
    }
    if config.security_protocol.startswith("SASL"):
        options |= _sasl(config)
    if config.security_protocol.endswith("SSL"):
        options["ssl_context"] = _tls(config)
    return options


def _sasl(config: Config) -> dict[str, str]:
    if config.security_protocol == "SASL_PLAINTEXT" and not config.loopback:
        raise UsageProblem(
            f"security_protocol SASL_PLAINTEXT would send a password unencrypted to {config.bootstrap}; use SASL_SSL"
        )
    if config.sasl_username is None or config.sasl_password_file is None:
        raise UsageProblem(f"{config.security_protocol} needs sasl_username and sasl_password_file")
    password = _secret(config.sasl_password_file, "sasl_password_file")
    return {
        "sasl_mechanism": config.sasl_mechanism,
        "sasl_plain_username": config.sasl_username,
        "sasl_plain_password": password,
    }


def _tls(config: Config) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ssl_ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise EnvironmentProblem(f"ssl_ca_file {config.ssl_ca_file} is no readable PEM file ({_why(fault)})") from fault
    if config.ssl_cert_file is None and config.ssl_key_file is None:
        return context
    if config.ssl_cert_file is None or config.ssl_key_file is None:
        raise UsageProblem("ssl_cert_file and ssl_key_file go together")
    password = config.ssl_key_password_file and _secret(config.ssl_key_password_file, "ssl_key_password_file")
    try:
        # An empty answer instead of None: OpenSSL would otherwise ask on the terminal.
        context.load_cert_chain(config.ssl_cert_file, config.ssl_key_file, password=password or "")
    except (OSError, ssl.SSLError) as fault:
        raise EnvironmentProblem(
            f"ssl_cert_file {config.ssl_cert_file} and ssl_key_file {config.ssl_key_file} cannot be used "
            f"({_why(fault)}); a key with a password needs ssl_key_password_file"
        ) from fault
    return context


def _secret(path: Path, setting: str) -> str:
    """The secret in a file, without the line end an editor leaves."""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise EnvironmentProblem(f"{setting} {path} cannot be read ({_why(fault)})") from None
    if not secret:
        raise EnvironmentProblem(f"{setting} {path} is empty")
    return secret


def _why(fault: Exception) -> str:
    """The reason alone: an error's full text may quote what it read."""
    return getattr(fault, "strerror", None) or getattr(fault, "reason", None) or type(fault).__name__
