"""What a container's own word means for its members: a pure decision.

1. A container is done if all its members are. Otherwise it counts as quarantined,
   without an entry of its own: the entries of its members say why.
2. With its word, members leave that this run did not read: they are not in it any
   more. A container that leaves, or became something else, takes all along.
3. While a member has to go round once more, so has its container: whoever is killed
   in between must find a container that is not done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.storage.records import RejectedSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tenire.storage.records import DoneSource, MemberRow

__all__ = ["close_containers"]


def close_containers(
    known: Iterable[MemberRow],
    done: dict[str, DoneSource],
    rejected: dict[str, RejectedSource],
    gone: set[str],
    *,
    run: int,
    waiting: Collection[str] = (),
) -> None:
    """Apply the rules to a change that is being planned.

    Args:
        known: What the ledger knows about members of the containers in the change.
        done: Sources that are done, by path; containers leave that may not be.
        rejected: Sources that are quarantined, by path; such containers join.
        gone: Paths of sources that leave; members join.
        run: Id of the run that the change belongs to.
        waiting: Containers that have a member which is not part of the change although
            it was read.
    """
    for path in waiting:
        done.pop(path, None)
    bad = {source.container for source in rejected.values() if source.container}
    for member in known:
        if member.path in done or member.path in rejected:
            continue
        if member.read_in != run or member.container in gone:
            gone.add(member.path)
        elif member.quarantined:
            bad.add(member.container)
    for path in bad & done.keys():
        container = done.pop(path)
        rejected[path] = RejectedSource(
            path, container.size, container.mtime_ns, container.content_hash, container.racy, "", ""
        )
