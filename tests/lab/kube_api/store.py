"""Every object, the version of each change, and who is told of it. In memory; one thread."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.lab.kube_api.objects import Object, key_of
from tests.lab.kube_api.resources import Resource
from tests.lab.kube_api.status_errors import expired, not_found

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class Change(NamedTuple):
    """One change of one object. The object is never changed in place afterwards."""

    version: int
    place: tuple[str, str]
    kind: str
    document: Object
    previous: Object | None


class Store:
    """Keeps the objects, and as many of the latest changes as `history` says."""

    def __init__(self, history: int) -> None:
        # A server that starts anew has a higher version than the one before it. So a client's old version is too old
        # here, and the client lists anew.
        self.version = self._forgotten = time.time_ns() // 1_000_000
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = defaultdict(dict)
        self._changes: deque[Change] = deque(maxlen=history)
        self.listeners: set[Callable[[Change], None]] = set()

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object, which must not be changed in place; raise StatusError if there is none."""
        document = self.look(resource.place, namespace if resource.namespaced else "", name)
        if document is None:
            raise not_found(resource, name)
        return document

    def look(self, place: tuple[str, str], namespace: str, name: str) -> Object | None:
        return self._objects[place].get((namespace, name))

    def all_of(self, place: tuple[str, str], namespace: str = "") -> list[Object]:
        """Return the objects of one namespace, or of all, in the order of their names."""
        return [found for key, found in sorted(self._objects[place].items()) if not namespace or key[0] == namespace]

    def everything(self) -> Iterator[tuple[tuple[str, str], Object]]:
        """Yield every object that there is at the moment, with its place."""
        for place, objects in list(self._objects.items()):
            for document in list(objects.values()):
                yield place, document

    def put(self, place: tuple[str, str], document: Object) -> None:
        """Store an object that is new or has changed."""
        previous = self._objects[place].get(key_of(document))
        self._tell(place, MODIFIED if previous else ADDED, document, previous)
        self._objects[place][key_of(document)] = document

    def remove(self, place: tuple[str, str], document: Object) -> None:
        """Remove an object; the document is its last state."""
        previous = self._objects[place].pop(key_of(document))
        self._tell(place, DELETED, document, previous)

    def changes_since(self, version: int) -> list[Change]:
        """Return the changes after a version; raise StatusError if not all of them are known any more."""
        if version < self._forgotten:
            raise expired(version, self._forgotten)
        return [change for change in self._changes if change.version > version]

    def _tell(self, place: tuple[str, str], kind: str, document: Object, previous: Object | None) -> None:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        if len(self._changes) == self._changes.maxlen:
            self._forgotten = self._changes[0].version
        change = Change(self.version, place, kind, document, previous)
        self._changes.append(change)
        for listener in list(self.listeners):
            listener(change)
