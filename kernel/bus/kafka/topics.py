"""Topics: made by the deploy step, with all that our promises rest on said explicitly, and told apart by their id.

A topic that was deleted and made anew has the name of the old one and other offsets; only its id (KIP-516) differs.
aiokafka reads none, so the one request that tells it is written here.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from kernel.bus import LARGEST_RECORD
from kernel.errors import ConfigurationError, Unavailable

RETENTION_DAYS = 7
"""How long Kafka keeps a record. One that a service has not handled by then is sent again by its producer."""

CONFIGURATION = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_DAYS * 24 * 3600 * 1000),
    "retention.bytes": "-1",
    "max.message.bytes": str(LARGEST_RECORD + 100_000),
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
}
_ALREADY_THERE = TopicAlreadyExistsError.errno


async def create_topics(bootstrap_servers: str, topics: Sequence[str], *, partitions: int, replication: int) -> None:
    """Makes the topics that are missing, and gives those that are there our configuration. A deploy step, never a
    service's. Raises Unavailable, or ConfigurationError with every error that the broker returned.
    """
    configuration = CONFIGURATION | {"min.insync.replicas": str(max(1, replication - 1))}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        answer = await admin.create_topics(
            [NewTopic(topic, partitions, replication, topic_configs=configuration) for topic in topics]
        )
        wrong = []
        for topic, code, *message in answer.topic_errors:
            if code not in (0, _ALREADY_THERE):
                wrong.append(f"{topic}: {_said(code, *message)}")
        there = [topic for topic, code, *_ in answer.topic_errors if code == _ALREADY_THERE]
        if there:
            wrong += await _configure(admin, there, configuration)
    except (KafkaError, OSError) as error:
        raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
    finally:
        await admin.close()
    if wrong:
        raise ConfigurationError(f"the broker did not make the topics as asked: {'; '.join(wrong)}")


async def _configure(admin: AIOKafkaAdminClient, topics: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    """Changes what differs from `wanted` and keeps what an operator set beside it; returns what went wrong."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    changes = []
    for answer in await admin.describe_configs(resources):
        for _, _, _, topic, entries in answer.resources:
            # Index 3 or 4, by version of the answer, says whether the value is the topic's own.
            own = {entry[0]: entry[1] for entry in entries if _is_own(entry)}
            if any(own.get(name) != value for name, value in wanted.items() if name != "min.insync.replicas"):
                changes.append(ConfigResource(ConfigResourceType.TOPIC, topic, configs={**wanted, **own, **wanted}))
    wrong = []
    for answer in await admin.alter_configs(changes) if changes else ():
        for code, message, _, topic in answer.resources:
            if code:
                wrong.append(f"{topic}: {_said(code, message)}")
    return wrong


_TOPIC_CONFIG_SOURCE = 1


def _is_own(entry: Sequence[Any]) -> bool:
    return entry[3] == _TOPIC_CONFIG_SOURCE and not isinstance(entry[3], bool)


def _said(code: int, message: str | None = None) -> str:
    name: str = for_code(code).__name__
    return f"{name} ({message})" if message else name


async def topic_generations(admin: AIOKafkaAdminClient, topics: Collection[str]) -> dict[str, str]:
    """Cluster id and topic id of each topic that is there. Raises KafkaError or OSError."""
    answer = await admin._send_request(_TopicIds(sorted(topics)))
    found = {}
    for code, name, topic_id, *_ in answer.topics:
        if code == 0:
            found[name] = f"{answer.cluster_id}/{topic_id}"
    return found


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _TopicIdsResponse(Response):  # type: ignore[misc]
    """Metadata, version 12 (Kafka 3.0 and newer)."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _TopicIdsResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_TopicIdsRequest]):  # type: ignore[misc]
    API_KEY = 3
    _CLASSES = (_TopicIdsRequest,)

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_TopicIdsRequest]) -> _TopicIdsRequest:
        return request_struct_class([(uuid.UUID(int=0), topic, {}) for topic in self._topics], False, False, {})
