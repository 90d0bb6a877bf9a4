"""What became of reports, in PostgreSQL: two statements per batch for each kind, however many events it has."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any
from uuid import UUID

from kernel.database import Transaction
from services.intake.domain.follow_up import FollowedNotice, FollowedObligation, FollowUp


def _names(kind: type[FollowedObligation | FollowedNotice]) -> list[str]:
    return [one.name for one in fields(kind)]


def _select(table: str, kind: type[FollowedObligation | FollowedNotice]) -> str:
    # By name: a newer release may have added columns already.
    return f"SELECT {', '.join(_names(kind))} FROM {table} WHERE id = ANY($1)"


def _upsert(table: str, kind: type[FollowedObligation | FollowedNotice]) -> str:
    names = _names(kind)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f'${n}' for n in range(1, len(names) + 1))})"
        f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names[1:])}"
    )


_READ_OBLIGATIONS = _select("obligation_view", FollowedObligation)
_READ_NOTICES = _select("notice_view", FollowedNotice)
_WRITE_OBLIGATION = _upsert("obligation_view", FollowedObligation)
_WRITE_NOTICE = _upsert("notice_view", FollowedNotice)


def _values(record: FollowedObligation | FollowedNotice) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in record.__slots__)


class PostgresFollowUps:
    """`services.intake.application.following.FollowUps` in PostgreSQL."""

    async def read(self, tx: Transaction, obligation_ids: Collection[UUID], notice_ids: Collection[UUID]) -> FollowUp:
        found = FollowUp()
        if obligation_ids:
            for row in await tx.driver.fetch(_READ_OBLIGATIONS, list(obligation_ids)):
                found.obligations[row["id"]] = FollowedObligation(**row)
        if notice_ids:
            for row in await tx.driver.fetch(_READ_NOTICES, list(notice_ids)):
                found.notices[row["id"]] = FollowedNotice(**row)
        return found

    async def write(self, tx: Transaction, follow_up: FollowUp) -> None:
        if follow_up.obligations:
            await tx.driver.executemany(_WRITE_OBLIGATION, [_values(one) for one in follow_up.obligations.values()])
        if follow_up.notices:
            await tx.driver.executemany(_WRITE_NOTICE, [_values(one) for one in follow_up.notices.values()])
