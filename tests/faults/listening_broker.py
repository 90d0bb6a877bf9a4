"""A broker that some of its clients reach by a way of their own, which may fail for them alone.

Kafka tells its clients where to connect, so a proxy is only passed by who uses a listener that advertises it.
"""

from collections.abc import Mapping
from pathlib import Path

from launcher.broker import LocalBroker
from launcher.processes import reserve_loopback_ports


class ListeningBroker(LocalBroker):
    """`ways`: by name, the port to listen on and the port that those who come this way are told."""

    def __init__(self, data_dir: Path, ways: Mapping[str, tuple[int, int]]) -> None:
        ours = reserve_loopback_ports(2)
        super().__init__(data_dir, ports=(ours[0], ours[1]))
        self._ways = {name.upper(): ports for name, ports in ways.items()}

    def _configure(self) -> None:
        super()._configure()
        given = dict(
            line.split("=", 1)
            for line in self._properties.read_text(encoding="utf-8").splitlines()
            if line and not line.startswith("#")
        )
        added = {
            "listeners": [f"{name}://127.0.0.1:{port}" for name, (port, _) in self._ways.items()],
            "advertised.listeners": [f"{name}://127.0.0.1:{told}" for name, (_, told) in self._ways.items()],
            "listener.security.protocol.map": [f"{name}:PLAINTEXT" for name in self._ways],
        }
        given |= {name: ",".join([given[name], *more]) for name, more in added.items()}
        lines = [f"{name}={value}\n" for name, value in given.items()]
        self._properties.write_text("".join(lines), encoding="utf-8")
