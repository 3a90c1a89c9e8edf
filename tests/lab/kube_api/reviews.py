"""Answers that are worked out and not stored: everybody may do everything, and every token is good. Pure."""

from typing import Any

from tests.lab.kube_api.objects import Object, now

_USER = {"username": "system:admin", "groups": ["system:masters", "system:authenticated"]}
# (group, plural) -> kind, status
_REVIEWS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("authentication.k8s.io", "tokenreviews"): ("TokenReview", {"authenticated": True, "user": _USER}),
    ("authentication.k8s.io", "selfsubjectreviews"): ("SelfSubjectReview", {"userInfo": _USER}),
    ("authorization.k8s.io", "subjectaccessreviews"): ("SubjectAccessReview", {"allowed": True}),
    ("authorization.k8s.io", "selfsubjectaccessreviews"): ("SelfSubjectAccessReview", {"allowed": True}),
    ("authorization.k8s.io", "localsubjectaccessreviews"): ("LocalSubjectAccessReview", {"allowed": True}),
}
GROUPS = {group: "v1" for group, _ in _REVIEWS}


def review(group: str, plural: str, body: Object) -> Object | None:
    """Answer a review, or return None for what is none."""
    if (group, plural) not in _REVIEWS:
        return None
    kind, status = _REVIEWS[group, plural]
    return {**body, "apiVersion": f"{group}/v1", "kind": kind, "metadata": {}, "status": status}


def resources(group: str) -> list[Object]:
    """Return what discovery says of the reviews of one group."""
    return [
        {"name": plural, "singularName": "", "namespaced": False, "kind": kind, "verbs": ["create"]}
        for (its_group, plural), (kind, _) in _REVIEWS.items()
        if its_group == group
    ]


def service_account_token(namespace: str, name: str, body: Object) -> Object:
    """Answer a TokenRequest, by which Calico's installer gets the token of the plugin's kubeconfig."""
    seconds = (body.get("spec") or {}).get("expirationSeconds") or 3600
    status = {"token": f"{namespace}.{name}.token", "expirationTimestamp": now(seconds)}
    return {**body, "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "status": status}
