"""Ways to a server of the tests that a test may close."""

from pathlib import Path

from tests.support.proxy import Proxy, Upstream


def way_to_postgres(dsn: str) -> Proxy:
    """A proxy, not yet started, before the socket that the server alone listens on."""
    folder = dsn.partition("?host=")[2]
    return Proxy(Upstream(socket=Path(folder) / ".s.PGSQL.5432"))


def through(proxy: Proxy) -> str:
    """The DSN for those who come by this way."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/firstnotice?sslmode=disable"
