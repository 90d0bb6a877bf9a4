"""The AsyncAPI 3.0 description of our events, generated from the types; `contracts/asyncapi.yaml` is its text."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from contracts.envelope import SHARDS
from contracts.events import EVENT_TYPES, TOPICS, EventData

FILE = Path(__file__).parent / "asyncapi.yaml"

_TITLES = {
    "encounters": "What agencies reported, amended and retracted. Key: the encounter's id.",
    "notices": "Obligations, notices, attempts and acknowledgements. Key: the encounter's id.",
    "determinations": "What programs a subject may be eligible for. Key: the encounter's id.",
    "trail": "How much of each source the trail holds. Key: one for all.",
    "access": "Who read or changed what. Key: the object's id.",
}


def document() -> dict[str, Any]:
    """The whole description, ready for YAML."""
    _, components = msgspec.json.schema_components(
        list(EVENT_TYPES.values()), ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "firstnotice events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in binary mode on Apache Kafka. Person facts are only in `sealed`.",
        },
        "defaultContentType": "application/json",
        "channels": {
            topic: {
                "address": topic,
                "description": _TITLES[topic],
                "messages": {_name(cls): {"$ref": f"#/components/messages/{_name(cls)}"} for cls in _types_of(topic)},
            }
            for topic in TOPICS
        },
        "components": {
            "messages": {
                _name(cls): {
                    "name": event_type,
                    "summary": (cls.__doc__ or "").strip().split("\n")[0],
                    "headers": {"$ref": "#/components/schemas/Attributes"},
                    "payload": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {
                            "data": {"$ref": f"#/components/schemas/{cls.__name__}"},
                            "sealed": {"$ref": "#/components/schemas/Sealed"},
                        },
                    },
                }
                for event_type, cls in EVENT_TYPES.items()
            },
            "schemas": {"Attributes": _ATTRIBUTES, "Sealed": _SEALED, **components},
        },
    }


def text() -> str:
    return yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)


def _types_of(topic: str) -> list[type[EventData]]:
    return [cls for cls in EVENT_TYPES.values() if topic == cls.TOPIC]


def _name(cls: type[EventData]) -> str:
    return f"{cls.__name__}V{cls.TYPE.rsplit('.v', 1)[1]}"


def _uuid(description: str) -> dict[str, str]:
    return {"type": "string", "format": "uuid", "description": description}


_ATTRIBUTES: dict[str, Any] = {
    "type": "object",
    "required": [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_jurisdiction",
        "ce_correlationid",
        "ce_shard",
        "ce_sequence",
    ],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": _uuid("Identity of the event: a consumer applies it once."),
        "ce_type": {"type": "string"},
        "ce_source": {"type": "string", "description": "`/firstnotice/` and the service."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": _uuid("The one subject that the event is about."),
        "ce_encounterid": _uuid("The encounter."),
        "ce_causationid": _uuid("The event that caused this one."),
        "ce_correlationid": _uuid("The first event of the chain."),
        "ce_jurisdiction": {"type": "string", "description": "State whose law applies."},
        "ce_agency": {"type": "string", "description": "Originating agency identifier (ORI)."},
        "ce_lawversion": {"type": "string", "description": "Release of the law that was applied."},
        "ce_policyversion": {"type": "string", "description": "Version of the policy that was applied."},
        "ce_traceparent": {"type": "string", "description": "W3C Trace Context."},
        "ce_keyid": _uuid("Random id of the data key that opens `sealed`."),
        "ce_commitment": {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "Salted SHA-256 commitment to the sealed part.",
        },
        "ce_shard": {"type": "string", "description": f"Outbox shard of the source, 0 to {SHARDS - 1}."},
        "ce_sequence": {"type": "string", "description": "Number, dense per source and shard."},
    },
}

_SEALED: dict[str, Any] = {
    "type": "object",
    "description": "Field group to its sealed part.",
    "additionalProperties": {
        "type": "object",
        "required": ["c", "h"],
        "properties": {
            "c": {"type": "string", "contentEncoding": "base64", "description": "AES-256-GCM ciphertext, nonce first."},
            "h": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Salted commitment to the group."},
        },
    },
}
