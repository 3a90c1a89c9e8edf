"""A watch: the changes of one resource from a version on, as lines of JSON, until its time or the server ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from tests.lab.kube_api import objects
from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.resources import Resource
from tests.lab.kube_api.selectors import Match
from tests.lab.kube_api.status_errors import StatusError, bad_request
from tests.lab.kube_api.store import ADDED, DELETED, MODIFIED, Change, Store

_LONGEST = 1800.0  # seconds of a watch that names no timeout; a real server ends those as well
_BOOKMARKS = 10.0  # seconds between two bookmarks


class Selection(NamedTuple):
    """What is listed or watched."""

    resource: Resource
    namespace: str
    match: Match

    def objects_in(self, store: Store) -> list[Object]:
        return [found for found in store.all_of(self.resource.place, self.namespace) if self.match(found)]


class Watches:
    """All watches of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: set[asyncio.Queue[Change | None]] = set()

    def end(self) -> None:
        """End every watch."""
        for queue in self._queues:
            queue.put_nowait(None)

    async def stream(self, selection: Selection, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of one watch."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._queues.add(queue)
        self._store.listeners.add(queue.put_nowait)
        try:
            # What follows runs at once, so no change is missed or told twice between the present state and the queue.
            for line in self._beginning(selection, query):
                yield line
            async for line in self._changes(selection, query, queue):
                yield line
        except StatusError as error:
            yield _line("ERROR", error.status())
        finally:
            self._store.listeners.discard(queue.put_nowait)
            self._queues.discard(queue)

    def _beginning(self, selection: Selection, query: Mapping[str, str]) -> list[bytes]:
        """Return the present objects, or the changes since the version that the client has seen."""
        with_state = query.get("sendInitialEvents") == "true"
        version = query.get("resourceVersion") or "0"
        if with_state or version == "0":
            lines = [_line(ADDED, served(selection.resource, found)) for found in selection.objects_in(self._store)]
            return lines + ([self._bookmark(selection.resource, ends_state=True)] if with_state else [])
        if not version.isdigit():
            raise bad_request(f"resourceVersion is no number: {version!r}")
        changes = self._store.changes_since(int(version))
        return [line for change in changes for line in _told(selection, change)]

    async def _changes(
        self, selection: Selection, query: Mapping[str, str], queue: "asyncio.Queue[Change | None]"
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query.get("timeoutSeconds") or _LONGEST)
        while (left := end - loop.time()) > 0:
            change: Change | None = None
            with contextlib.suppress(TimeoutError):
                change = await asyncio.wait_for(queue.get(), min(left, _BOOKMARKS))
                if not change:
                    return
            if change:
                for line in _told(selection, change):
                    yield line
            elif query.get("allowWatchBookmarks") == "true":
                yield self._bookmark(selection.resource)

    def _bookmark(self, resource: Resource, ends_state: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(self._store.version), "creationTimestamp": None}
        if ends_state:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        return _line("BOOKMARK", document)


def served(resource: Resource, document: Object) -> Object:
    """Return an object in the version that it is asked for in."""
    if document["apiVersion"] == resource.api_version:
        return document
    return {**document, "apiVersion": resource.api_version}


def _told(selection: Selection, change: Change) -> list[bytes]:
    """Return what one watch says of a change: an object may begin or cease to fit what is watched."""
    document = change.document
    if change.place != selection.resource.place:
        return []
    if selection.namespace and document["metadata"].get("namespace") != selection.namespace:
        return []
    fitted = change.previous is not None and selection.match(change.previous)
    fits = change.kind != DELETED and selection.match(document)
    if not fits and not fitted:
        return []
    kind = MODIFIED if fits and fitted else ADDED if fits else DELETED
    return [_line(kind, served(selection.resource, document))]


def _line(kind: str, document: Object) -> bytes:
    return objects.encode({"type": kind, "object": document}) + b"\n"
