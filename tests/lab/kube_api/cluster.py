"""What a write means: the metadata that the server owns, versions and conflicts, status, deletion, owners."""

import random
import string
import uuid
from typing import Any

from tests.lab.kube_api import objects, patches, status_errors
from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.resources import DEFINITIONS, Resource, Resources
from tests.lab.kube_api.schema_defaults import set_defaults
from tests.lab.kube_api.status_errors import StatusError
from tests.lab.kube_api.store import Store

_NAMESPACES = ("", "namespaces")
# What a client cannot change once the object is there.
_OWNED = ("name", "generateName", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
          "deletionGracePeriodSeconds", "generation")  # fmt: skip


class Cluster:
    """The resources and their objects."""

    def __init__(self, history: int = 20_000) -> None:
        self.resources = Resources()
        self.store = Store(history)
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def load(self, document: Object) -> None:
        """Store an object as it is, with its status, in the place of an earlier one."""
        resource = self.resources.of_kind(document.get("apiVersion", ""), document.get("kind", ""))
        if not resource:
            raise status_errors.bad_request(
                f"no resource is of kind {document.get('kind')} in {document.get('apiVersion')}"
            )
        document = objects.duplicate(document)
        metadata = objects.meta(document)
        if resource.namespaced:
            metadata.setdefault("namespace", "default")
            self._make_namespace(metadata["namespace"])
        earlier = self.store.look(resource.place, metadata.get("namespace", ""), metadata["name"])
        metadata.setdefault("uid", earlier["metadata"]["uid"] if earlier else str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", objects.now())
        metadata.setdefault("generation", 1)
        self._write(resource, document)

    def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Make a new object of what a client has sent."""
        document = objects.duplicate(body)
        metadata = objects.meta(document)
        self._check_namespace(resource, namespace, metadata)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + "".join(random.choices(string.ascii_lowercase, k=5))
        if not metadata.get("name"):
            raise status_errors.invalid(
                resource, "", "metadata.name", "Required value: name or generateName is required"
            )
        if metadata.get("resourceVersion"):
            raise status_errors.bad_request("resourceVersion should not be set on objects to be created")
        if self.store.look(resource.place, namespace, metadata["name"]):
            raise status_errors.already_exists(resource, metadata["name"])
        metadata.pop("deletionTimestamp", None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": objects.now(), "generation": 1}
        if resource.has_status and not resource.is_core("nodes"):  # a kubelet makes its node with a status
            document.pop("status", None)
        if resource.is_core("pods"):
            document["status"] = {"phase": "Pending"}
            document.setdefault("spec", {}).setdefault("terminationGracePeriodSeconds", 30)
        return self._write(resource, document)

    def update(self, resource: Resource, namespace: str, name: str, body: Object, subresource: str = "") -> Object:
        """Put what a client has sent in the place of an object, or its status in the place of the object's."""
        metadata = objects.meta(body)
        if resource.custom and not metadata.get("resourceVersion"):
            why = "Invalid value: 0x0: must be specified for an update"
            raise status_errors.invalid(resource, name, "metadata.resourceVersion", why)
        return self._replace(resource, self.store.get(resource, namespace, name), body, subresource)

    def patch(
        self, resource: Resource, namespace: str, name: str, media_type: str, patch: Any, subresource: str = ""
    ) -> Object:
        """Change an object by a patch; server-side apply makes one that is not there."""
        try:
            present = self.store.get(resource, namespace, name)
        except StatusError:
            if media_type != patches.APPLY or subresource:
                raise
            objects.meta(patch)["name"] = name
            return self.create(resource, namespace, patch)
        wanted = patches.patched(objects.duplicate(present), media_type, patch)
        return self._replace(resource, present, wanted, subresource)

    def delete(self, resource: Resource, namespace: str, name: str, options: Object) -> Object:
        """Delete an object, or mark it as being deleted while it has finalizers or a grace period."""
        present = self.store.get(resource, namespace, name)
        for field, wanted in (options.get("preconditions") or {}).items():
            if wanted and present["metadata"].get(field) != wanted:
                why = f"Precondition failed: {field} is {present['metadata'].get(field)}, not {wanted}"
                raise status_errors.conflict(resource, name, why)
        seconds = _grace(resource, present, options)
        if not seconds and not present["metadata"].get("finalizers"):
            return self._remove(resource, objects.duplicate(present))
        marked = objects.duplicate(present)
        marked["metadata"].setdefault("deletionTimestamp", objects.now(seconds))
        marked["metadata"]["deletionGracePeriodSeconds"] = seconds
        return present if marked == present else self._write(resource, marked)

    def _replace(self, resource: Resource, present: Object, body: Object, subresource: str) -> Object:
        name = present["metadata"]["name"]
        _check_same(resource, present, body)
        document = _with_status(resource, present, body) if subresource else _without_status(resource, present, body)
        metadata = objects.meta(document)
        metadata["resourceVersion"] = present["metadata"]["resourceVersion"]
        set_defaults(resource.schema, document)
        if document == present | {"apiVersion": document.get("apiVersion"), "kind": document.get("kind")}:
            return present
        if document.get("spec") != present.get("spec"):
            metadata["generation"] = present["metadata"].get("generation", 1) + 1
        if metadata.get("deletionTimestamp"):
            if set(metadata.get("finalizers") or []) - set(present["metadata"].get("finalizers") or []):
                why = "Forbidden: no new finalizers can be added if the object is being deleted"
                raise status_errors.invalid(resource, name, "metadata.finalizers", why)
            if not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds"):
                return self._remove(resource, document)
        return self._write(resource, document)

    def _write(self, resource: Resource, document: Object) -> Object:
        document |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if not resource.namespaced:
            document["metadata"].pop("namespace", None)
        set_defaults(resource.schema, document)
        if resource.is_core("namespaces"):
            objects.meta(document).setdefault("labels", {})["kubernetes.io/metadata.name"] = document["metadata"][
                "name"
            ]
            document.setdefault("status", {"phase": "Active"})
        if resource.plural == DEFINITIONS:
            _establish(document)
            self.resources.define(document)
        self.store.put(resource.place, document)
        return document

    def _remove(self, resource: Resource, document: Object) -> Object:
        self.store.remove(resource.place, document)
        if resource.plural == DEFINITIONS:
            for found in self.store.all_of((document["spec"]["group"], document["spec"]["names"]["plural"])):
                self._delete_quietly((document["spec"]["group"], document["spec"]["names"]["plural"]), found)
            self.resources.forget(document)
        for place, found in self.store.everything():
            owned = {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []}
            inside = (
                resource.is_core("namespaces") and found["metadata"].get("namespace") == document["metadata"]["name"]
            )
            if inside or owned == {document["metadata"]["uid"]}:
                self._delete_quietly(place, found)
        return document

    def _delete_quietly(self, place: tuple[str, str], document: Object) -> None:
        """Delete an object that is deleted with another one."""
        resource = self.resources.at(place)
        namespace, name = objects.key_of(document)
        if resource and self.store.look(place, namespace, name):
            self.delete(resource, namespace, name, {})

    def _make_namespace(self, name: str) -> None:
        if not self.store.look(_NAMESPACES, "", name):
            self.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def _check_namespace(self, resource: Resource, namespace: str, metadata: Object) -> None:
        if not resource.namespaced:
            return
        if metadata.setdefault("namespace", namespace) != namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise status_errors.bad_request(text)
        namespaces = self.resources.at(_NAMESPACES)
        if namespaces and not self.store.look(_NAMESPACES, "", namespace):
            raise status_errors.not_found(namespaces, namespace)


def _check_same(resource: Resource, present: Object, body: Object) -> None:
    """Refuse what is of another object, or of another version of it; versions that are left out fit."""
    was, wanted = present["metadata"], objects.meta(body)
    name = was["name"]
    if wanted.get("name", name) != name:
        text = f"the name of the object ({wanted['name']}) does not match the name on the URL ({name})"
        raise status_errors.bad_request(text)
    if wanted.get("uid") and wanted["uid"] != was["uid"]:
        raise status_errors.conflict(resource, name, f"Precondition failed: the object's UID is {was['uid']}")
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != was["resourceVersion"]:
        raise status_errors.conflict(resource, name)


def _with_status(resource: Resource, present: Object, body: Object) -> Object:
    """Return the object with the status of the body; the status of a built-in resource brings its annotations along."""
    document: Object = objects.duplicate(present)
    document.pop("status", None)
    if "status" in body:
        document["status"] = body["status"]
    for field in () if resource.custom else ("labels", "annotations"):
        if field in body["metadata"]:
            document["metadata"][field] = body["metadata"][field]
    return document


def _without_status(resource: Resource, present: Object, body: Object) -> Object:
    """Return the body with what is not the client's to change as it was."""
    document: Object = objects.duplicate(body)
    for field in _OWNED:
        document["metadata"].pop(field, None)
        if field in present["metadata"]:
            document["metadata"][field] = present["metadata"][field]
    if resource.has_status:
        document.pop("status", None)
        if "status" in present:
            document["status"] = objects.duplicate(present["status"])
    return document


def _grace(resource: Resource, document: Object, options: Object) -> int:
    """Return the seconds that a deleted object is left for its kubelet to end it: none but for a pod on a node."""
    spec = document.get("spec") or {}
    if not resource.is_core("pods") or not spec.get("nodeName"):
        return 0
    if (document.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked)


def _establish(definition: Object) -> None:
    """Say in the status of a CustomResourceDefinition that its resources are served."""
    since = {"lastTransitionTime": definition["metadata"]["creationTimestamp"], "message": ""}
    definition["status"] = {
        "acceptedNames": definition["spec"]["names"],
        "storedVersions": [version["name"] for version in definition["spec"]["versions"] if version.get("storage")],
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", **since},
            {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", **since},
        ],
    }
