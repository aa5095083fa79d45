"""What can be asked about a broker from outside: its port, its process, its log, and whether it serves."""

import socket
import subprocess
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"


async def serve_once(bootstrap: str) -> None:
    """Raise unless the broker creates topics, coordinates groups and begins transactions.

    An open port says little: the first transaction after a start meets a coordinator that is still loading.
    """
    from aiokafka import AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    probe = "sidechain.ready"
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        answer = await admin.create_topics([NewTopic(probe, 1, 1)], validate_only=True)
        if code := answer.topic_errors[0][1]:
            raise ConnectionError(f"topics cannot be created yet (error {code})")
        await admin.find_coordinator(probe)
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=probe)
    try:
        await producer.start()
    finally:
        await producer.stop()


def free_port() -> int:
    """A port nobody listens on; somebody may take it before we do, then the broker says so."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not hold a port
        try:
            one.bind((HOST, port))
        except OSError:
            return False
        return True


def is_ours(pid: int, home: Path) -> bool:
    """Whether process `pid` is a broker with our settings: after a reboot the number may be anybody's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if Path("/proc/self").exists():
            return False
        try:
            words = subprocess.run(
                ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
                check=False,
                capture_output=True,
            ).stdout
        except OSError:
            return False
    return bytes(home / "server.properties") in words


def last_words(log: Path) -> str:
    """The line of a log that names the fault."""
    try:
        return telling_line(log.read_text("utf-8", "replace"))
    except OSError:
        return "it left no log"


def telling_line(said: str) -> str:
    """The last line that names a fault, without its stack trace."""
    lines = [one for one in said.splitlines() if one.strip() and not one.startswith(("\tat ", "\t..."))]
    telling = [one for one in lines if any(word in one for word in ("Exception", "ERROR", "Error", "error:"))]
    return (telling or lines or ["it said nothing"])[-1].strip()[:300]
