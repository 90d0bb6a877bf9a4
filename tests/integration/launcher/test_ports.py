"""Ports that stay with an installation also while nobody listens on them."""

import socket
import subprocess
import sys

import pytest

from launcher.processes import reserve_loopback_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a bound socket keeps a port for others on Linux alone")

SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
server.accept()
"""


def test_a_server_that_died_finds_its_port_again_and_nobody_else_gets_it_meanwhile() -> None:
    (port,) = reserve_loopback_ports(1)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "listens\n"
            server.kill()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))


def test_ports_are_different() -> None:
    assert len(set(reserve_loopback_ports(50))) == 50
