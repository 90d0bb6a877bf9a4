"""Apache Kafka 4.x through aiokafka, with the settings that keep our promises (its own defaults do not)."""

from kernel.bus.kafka.bus import KafkaBus
from kernel.bus.kafka.topics import create_topics

__all__ = ["KafkaBus", "create_topics"]
