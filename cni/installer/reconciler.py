"""Check whether plugin and conflist are as `install` set them up, and repair them where they are not.

calico-node writes its conflist at each start, in place; spiderpool-agent copies its own plugin over ours. What others
have changed is drift: `plugin_links.drift` and `Plan.drift` tell it. Side effects: those of `plugin_links.reconcile`
and of conflist/apply.py.
"""

import errno
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cni.contracts.installation import Desired, Record
from cni.deadline import Deadline
from cni.installer import astray
from cni.installer.absence import plan_with_stand_in
from cni.installer.bundle import plugin_links
from cni.installer.check_result import State
from cni.installer.conflict import BACK_OFF, PLUGIN_DRIFT, Drifts, Object
from cni.installer.conflist import record as records
from cni.installer.conflist.apply import reconcile, settle
from cni.installer.conflist.document import UnfinishedError
from cni.installer.conflist.plan import Plan
from cni.installer.conflist.record import RecordError
from cni.installer.errors import InstallerError
from cni.installer.graces import Graces
from cni.installer.log_line import ERROR, WARN
from cni.installer.node import agent_health, lock
from cni.installer.node.atomic_file import ChangedError
from cni.installer.node.folders import Folders
from cni.installer.node.os_errors import one_line

GRACE = 3.0  # seconds that a half-written file has to become whole, and a removed one to come back
_RECHECK = 0.2  # seconds until the next look at a plugin that is being replaced
_AGENT_RECHECK = 2.0  # seconds until the next look for an agent that has to be healthy first
FULL_CHECK = 60.0  # seconds, give or take a tenth, so that 5,000 nodes do not look at once
LOCK_TIMEOUT = 0.3  # seconds to wait for another installer: SIGTERM ends watch within one second


class UninstalledError(Exception):
    """There is nothing to keep any more."""


class CopyUnfinishedError(UnfinishedError):
    """Our copy is half-written: it has its own time to become whole, beside its source."""


class Reconciler:
    """Keeps one node's installation: `check` may be called at any time."""

    def __init__(self, folders: Folders, tree: Path | None, version: str, log: Callable[[str], None]) -> None:
        self.folders = folders
        self.state = State()
        self.next_check = Deadline(0)  # when to check, whatever happens
        self.flaw, self.agent_fault = "", agent_health.NOT_ASKED  # as bundle_watch.py and agent_watch.py have found
        self._tree = tree  # what to install from where the bundle was removed; None in a source tree
        self._version = version
        self._log = log
        self._desired: Desired | None = None
        self._record: Record | None = None  # as the last check has found it
        self.settings: dict[str, Any] = {}  # what our ipam object says
        self._reported: str | None = None  # the last fault that was reported
        self._was_in_sync = False
        self._graces = Graces()
        self._replaced_by: Deadline | None = None  # until when the agent may take to copy its plugin over ours
        self._astray = astray.Astray()
        self._next_answer = Deadline(0)  # when the plugin has to answer VERSION again
        self._drifts = Drifts(log)
        self.is_read_only = False  # what was in sync cannot be written to any more

    @property
    def agent_socket(self) -> Path:
        """The socket of the agent that the plugin asks."""
        return agent_health.socket_path(self.folders, self.settings)

    def recorded_paths(self) -> list[Path]:
        """Return the conflists that are looked after, wherever --conf has named them. OSError."""
        return records.paths(self.folders, self._record)

    def check(self) -> None:
        """Look, and repair what is not as desired. UninstalledError."""
        self.next_check = Deadline(FULL_CHECK * random.uniform(0.9, 1.1))  # noqa: S311  (no secret)
        self._graces.begin_check()
        try:
            self.folders = self.folders.resolve_again()
            self._read_record()  # without the lock, which makes a file: an uninstalled node is to stay without it
            with lock.held(self.folders.state, timeout=LOCK_TIMEOUT):
                self._reconcile()
        except InstallerError as error:
            self._fail(error, str(error))
        except OSError as error:
            self._fail(error, one_line(error))
        self.state = self.state._replace(last_check=time.time(), drift=Counter(self._drifts.repaired))
        self.count_astray()

    def count_astray(self) -> None:
        """Count the pods that got another IPAM's address meanwhile, where it is time to: some are known later."""
        if pods := self._astray.count(self.folders.results):
            self.state = self.state._replace(pods_on_other_ipam=self.state.pods_on_other_ipam + pods)
            who = "1 pod" if pods == 1 else f"{pods} pods"
            self._log(f"{WARN}{who} got another IPAM's address meanwhile")

    def _read_record(self) -> Record | None:
        record = records.read(self.folders)
        if record is None and not (self.folders.bin / plugin_links.HOME / plugin_links.CURRENT).is_symlink():
            raise UninstalledError
        return record

    def _reconcile(self) -> None:
        record = self._read_record()
        with suppress(ChangedError):  # then it is the conflist again, and as it is planned below
            settle(self.folders, record)
        if record and not record.is_in_force:
            how = "uninstall has restored the conflist" if record.restored else "the first installation did not finish"
            self._settle(f"{how}: watch does nothing until you install again")
            return
        if record:
            self._desired, self._record = record.desired, record
        if self._desired is None:
            raise RecordError(f"nothing is recorded in {self.folders.conf_name}: install first")
        faults = {self._look_after_plugin(), self._reconcile_conflist(self._desired, record)}
        self._settle("; ".join(sorted(faults - {""})))

    def _look_after_plugin(self) -> str:
        """Repair the plugin; return what is left as it is. While it works, a damaged bundle holds up nothing else."""
        try:
            return self._reconcile_plugin()
        except plugin_links.BundleError as error:
            if plugin_links.answers(self.folders.bin):
                raise
            return str(error)

    def _reconcile_plugin(self) -> str:
        """Repair the plugin; return what is left as it is."""
        folder, name = self.folders.bin, f"{self.folders.bin_name}/{plugin_links.PLUGIN}"
        if self._is_being_replaced():
            return ""
        if reason := plugin_links.drift(folder):
            # What leads nowhere is always repaired: no pod could be deleted.
            leads_nowhere = reason == "removed" or not self.folders.root.find(name)
            if self._drifts.back_off("plugin") and not leads_nowhere:
                return self._back_off("plugin")
            plugin_links.reconcile(folder, self._tree, self._version, image=self._wants_image)
            self._drifts.add("plugin", reason, f"{name} is ours again: {PLUGIN_DRIFT[reason]}")
        elif flaw := (self.flaw and plugin_links.verify(folder)) or self._silence(folder):
            plugin_links.reinstall(folder, flaw, self._tree, self._version, image=self._wants_image)
            self._drifts.add("plugin", "overwritten", f"{name} was installed again: {flaw}")
        self.flaw = ""
        return ""

    @property
    def _wants_image(self) -> bool:
        return not (self._desired and self._desired.no_image)

    def _silence(self, folder: Path) -> str:
        """Run the plugin as runtimes do, once in a full check's time; return what is wrong with its answer."""
        if self._next_answer.left():
            return ""
        if not (fault := plugin_links.answers(folder)):
            self._next_answer = Deadline(FULL_CHECK)
        return fault

    def _is_being_replaced(self) -> bool:
        """Tell whether to wait until the agent has copied its plugin, for GRACE seconds at most: it may be killed."""
        if not plugin_links.is_being_replaced(self.folders.bin):
            self._replaced_by = None
            return False
        self._replaced_by = self._replaced_by or Deadline(GRACE)
        self.next_check = self.next_check.within(_RECHECK)
        return self._replaced_by.left() > 0

    def _reconcile_conflist(self, desired: Desired, record: Record | None) -> str:
        """Repair the conflist; return what is left as it is."""
        written = astray.written_at(self.folders.root.resolve(record.file)) if record else 0
        planned = plan_with_stand_in(self.folders, desired, record, self._graces, GRACE, self._log)
        self.settings = planned.settings
        if planned.drift and record:
            self._astray.note(planned.source.delegation.network, written, record.applied)
        unfinished = CopyUnfinishedError(f"{planned.target.name} is half-written")
        if planned.is_half_written and self._graces.left(unfinished, GRACE):
            raise unfinished  # what is being chained to it would be lost
        if planned.drift and self._drifts.back_off("conflist"):
            return self._back_off("conflist")
        is_lost = records.is_lost(self.folders)
        is_unseen = planned.is_adoption and not self._was_in_sync  # who knows for how long nothing was there
        is_anew = is_lost or is_unseen or bool(record and record.emptied)
        if is_anew and planned.target.is_needed and self.agent_fault:
            # As at the first swap: after `kubeadm reset` another cluster, without SpiderPool, may live here.
            self.next_check = self.next_check.within(_AGENT_RECHECK)
            return (
                f"{self.folders.conf_name} was emptied, or has lost its record, so its conflist is swapped again"
                f" as soon as the spiderpool-agent is healthy: {self.agent_fault}"
            )
        if is_lost:
            self._log(
                f"{WARN}the record in {self.folders.conf_name} was lost or damaged: it is made again from its copy"
            )
        applied = reconcile(planned)
        self._look_again(applied)
        self._report_write(applied)
        return applied.loaded_first

    def _look_again(self, applied: Plan) -> None:
        """Have the next check soon where somebody may still be writing to what was replaced."""
        try:
            seconds = settle(self.folders, applied.record_before())
        except ChangedError:
            seconds = _RECHECK  # it was written in this moment
        if seconds:
            self.next_check = self.next_check.within(seconds)

    def _report_write(self, applied: Plan) -> None:
        if applied.drift:
            text = f"swapped {applied.target.name} again: {applied.message}"
            self._drifts.add("conflist", applied.drift, text, applied.drifted)
        elif applied.message:
            self._log(f"wrote {applied.target.name}: {applied.message}")

    def _back_off(self, what: Object) -> str:
        """Check again when it is time to repair; return what is left as it is."""
        self.next_check = self.next_check.within(self._drifts.back_off(what))
        return f"others have changed the {what} again: the next repair is in up to {BACK_OFF:g} s"

    def _fail(self, error: Exception, text: str) -> None:
        """Give what is being written a moment, then report the fault."""
        if self._graces.left(error, GRACE):
            self.next_check = Deadline(0)
            self.state = self.state._replace(fault=text)
        else:
            self.is_read_only = self._was_in_sync and isinstance(error, OSError) and error.errno == errno.EROFS
            self._settle(text, ERROR)

    def _settle(self, fault: str, level: str = WARN) -> None:
        """Keep the result of a check, and report it when it is another than before."""
        if fault != self._reported:
            self._log(level + fault if fault else "in sync: plugin and conflist are as `install` set them up")
            self._reported = fault
        if not fault:
            self._was_in_sync = True
        self.state = self.state._replace(fault=fault)
