"""What `make run-cluster` and the fault tests rely on: a real broker that starts, is killed, and keeps its records."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from launcher import broker as broker_module
from launcher.broker import BrokerFailed, BrokerUnavailable, LocalBroker, fetch_broker
from launcher.processes import is_live
from tests.support.installation import kill_with_leashes

Factory = Callable[..., LocalBroker]

OWNER = """
import signal, sys
from pathlib import Path
from launcher.broker import LocalBroker
broker = LocalBroker(Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
signal.pause()
"""


async def make_topic(servers: str) -> str:
    name = f"encounters-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()
    return name


async def produce(servers: str, topic: str, key: bytes, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, value, key=key, headers=[("ce_id", key), ("ce_type", b"reported")])


async def consume(servers: str, topic: str, count: int) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=f"readers-{uuid.uuid4().hex[:8]}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    found: list[tuple[bytes, bytes, dict[str, bytes]]] = []
    async with consumer:
        while len(found) < count:
            record = await consumer.getone()
            found.append((record.key, record.value, dict(record.headers)))
    return found


@pytest.mark.kafka
async def test_records_travel_with_key_and_headers(kafka: str) -> None:
    topic = await make_topic(kafka)
    await produce(kafka, topic, b"enc-1", b"sealed")
    assert await consume(kafka, topic, 1) == [(b"enc-1", b"sealed", {"ce_id": b"enc-1", "ce_type": b"reported"})]


@pytest.mark.kafka
async def test_after_sigkill_the_broker_comes_back_with_its_port_and_records(broker_factory: Factory) -> None:
    broker = broker_factory()
    servers = broker.start()
    topic = await make_topic(servers)
    await produce(servers, topic, b"enc-1", b"before")
    broker.kill()
    assert broker.pid is None
    assert broker.restart() == servers
    await produce(servers, topic, b"enc-1", b"after")
    assert [value for _, value, _ in await consume(servers, topic, 2)] == [b"before", b"after"]


@pytest.mark.kafka
def test_the_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        broker = psutil.Process(int(owner.stdout.readline()))
        assert "kafka.Kafka" in broker.cmdline()
        owner.kill()
    psutil.wait_procs([broker], timeout=10)
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE


@pytest.mark.kafka
def test_a_broker_that_outlived_its_owner_and_its_leash_is_ended_by_the_next_start(
    broker_factory: Factory, tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        left = psutil.Process(int(owner.stdout.readline()))
        kill_with_leashes(psutil.Process(owner.pid))
    assert is_live(left)
    broker = broker_factory(tmp_path)
    broker.start()
    assert broker.running
    assert not is_live(left)


@pytest.mark.kafka
def test_a_start_that_is_given_up_leaves_no_broker(broker_factory: Factory) -> None:
    broker = broker_factory()
    with pytest.raises(BrokerFailed, match="told to stop before it was ready"):
        broker.start(given_up=lambda: True)
    assert not broker.running


def test_without_java_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="Install Java 17 or newer"):
        fetch_broker(tmp_path)


def test_without_maven_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_require_java", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="Install Maven"):
        fetch_broker(tmp_path)
    assert list(tmp_path.iterdir()) == []
