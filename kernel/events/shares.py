"""Sharing numbered parts of one work among any number of processes, by nothing but locks of the database.

Who takes part holds a shared advisory lock, whom the others see in `pg_locks`; each part is an exclusive one. Both end
with the session, at the same moment: there is no heartbeat to miss, no clock to compare and no row to clean up, and a
dead member's parts are free when the server has noticed (at once after a kill, after `kernel.database.IDLE_SECONDS`
when its host vanished). The locks are no fence: offsets and rows are, in the transaction of the effect.
"""

from collections.abc import Collection, Sequence
from typing import Any

_PRESENT = -1
"""Not a part: the lock that says who takes part."""

_JOIN = f"SELECT pg_advisory_lock_shared(hashtext($1), {_PRESENT}), pg_backend_pid()"

_MEMBERS = f"""
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock' AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = hashtext($1)::bigint & 4294967295 AND objid::bigint = {_PRESENT} & 4294967295
    ORDER BY pid
"""

_TAKE = "SELECT part FROM unnest($2::integer[]) AS wanted(part) WHERE pg_try_advisory_lock(hashtext($1), part)"

_GIVE = "SELECT pg_advisory_unlock(hashtext($1), part) FROM unnest($2::integer[]) AS given(part)"


class Shares:
    """One member's share of the parts of `work`; it lives and ends with `connection` (`Database.session`)."""

    def __init__(self, connection: Any, work: str, parts: Sequence[int]) -> None:
        self._connection = connection
        self._work = work
        self._parts = sorted(parts)
        self._pid: int | None = None
        self.held: set[int] = set()

    async def settle(self, busy: Collection[int] = ()) -> set[int]:
        """Looks who is there, gives back what is not ours any more, takes what is; returns what is new.

        Call it about every second. `busy` parts are kept until they are not. Raises the driver's errors.
        """
        if self._pid is None:
            self._pid = (await self._connection.fetchrow(_JOIN, self._work))["pg_backend_pid"]
        members = [row["pid"] for row in await self._connection.fetch(_MEMBERS, self._work)]
        mine = share(self._parts, members, self._pid)
        if given := sorted(self.held - mine - set(busy)):
            await self._connection.execute(_GIVE, self._work, given)
            self.held.difference_update(given)
        if not (wanted := sorted(mine - self.held)):
            return set()
        taken = {row["part"] for row in await self._connection.fetch(_TAKE, self._work, wanted)}
        self.held |= taken
        return taken

    async def leave(self) -> None:
        """Frees everything for the others at once. Raises the driver's errors."""
        self.held.clear()
        await self._connection.execute("SELECT pg_advisory_unlock_all()")


def share(parts: Sequence[int], members: Sequence[int], me: int) -> set[int]:
    """The parts of `me` when all members deal them out in turn, each in the order of its number."""
    turn = sorted({*members, me})
    return {part for place, part in enumerate(parts) if turn[place % len(turn)] == me}
