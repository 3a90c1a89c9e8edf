"""Asks the kernel whether a network namespace has an interface. Side effects: a netlink socket; the namespace gets an
ID in ours, as with the first veth between the two. Loaded only where detection is on.

Nobody has to enter the namespace for it, and it takes 0.01 ms.
"""

import posix
import sys
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket

_ANSWER_LIMIT = 65536  # bytes

# linux/rtnetlink.h, linux/net_namespace.h, linux/if_link.h
_NLMSG_ERROR, _RTM_GETLINK, _RTM_NEWNSID, _RTM_GETNSID = 2, 18, 88, 90
_REQUEST, _REQUEST_ACK = 1, 5
_NETNSA_NSID, _NETNSA_FD, _IFLA_IFNAME, _IFLA_TARGET_NETNSID = 1, 3, 3, 46
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12
_NO_SUCH_DEVICE = (-19).to_bytes(4, sys.byteorder, signed=True)


def lacks_link(netns: str, ifname: str) -> bool:
    """Tell whether the kernel says that the namespace lacks the interface.

    False where it cannot say (before Linux 4.20). A namespace that is missing lacks the interface as well: whoever is
    to use that namespace has the better error message.
    """
    namespace = -1
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
    try:
        # Without this an older kernel would overlook the namespace's ID and answer about our own namespace.
        netlink.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        namespace = posix.open(netns, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        return _is_missing(netlink, namespace, ifname)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        netlink.close()
        if namespace >= 0:
            posix.close(namespace)


def _is_missing(netlink: socket, namespace: int, ifname: str) -> bool:
    by_fd = bytes(4) + _attribute(_NETNSA_FD, _bytes(namespace, 4))
    # The kernel's answer does not matter: the namespace may have an ID already.
    _ask(netlink, _RTM_NEWNSID, by_fd + _attribute(_NETNSA_NSID, b"\xff\xff\xff\xff"))
    kind, nsid = _ask(netlink, _RTM_GETNSID, by_fd)
    if kind != _RTM_NEWNSID:
        return False
    by_name = _attribute(_IFLA_TARGET_NETNSID, nsid[8:12]) + _attribute(_IFLA_IFNAME, ifname.encode() + b"\0")
    kind, answer = _ask(netlink, _RTM_GETLINK, bytes(16) + by_name)
    return kind == _NLMSG_ERROR and answer[:4] == _NO_SUCH_DEVICE


def _ask(netlink: socket, kind: int, body: bytes) -> tuple[int, bytes]:
    """Return type and body of the kernel's answer; to RTM_NEWNSID that is its error number, 0 for none."""
    flags = _REQUEST_ACK if kind == _RTM_NEWNSID else _REQUEST
    netlink.send(_bytes(16 + len(body), 4) + _bytes(kind, 2) + _bytes(flags, 2) + bytes(8) + body)
    answer = netlink.recv(_ANSWER_LIMIT)
    return int.from_bytes(answer[4:6], sys.byteorder), answer[16:]


def _attribute(kind: int, value: bytes) -> bytes:
    return _bytes(4 + len(value), 2) + _bytes(kind, 2) + value + bytes(-len(value) % 4)


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, sys.byteorder)
