"""What each exit status of the operator's commands means. A command of a group has those of the group.

Published as spec/report/exit-statuses.json, in docs/reference/reports.md and in the manual pages.
"""

PLUGIN_STAYS = 3

_USAGE = "The command line is wrong: nothing was done."
_OTHER = "128 and more"  # no single number

EXIT_STATUSES: dict[str, dict[str, str]] = {
    "install": {
        "0": "The node is installed, or was already. With --dry-run: what would change was shown.",
        "1": "The node could not be installed. A second run completes what the first one began.",
        "2": _USAGE,
    },
    "uninstall": {
        "0": "Nothing of the installation is left.",
        "1": "Calico's conflist could not be restored, or the plugin not be removed.",
        "2": _USAGE,
        str(PLUGIN_STAYS): "Calico's conflist is restored. The plugin stays for now: run uninstall again later.",
    },
    "status": {
        "0": "All is well. With --readiness-file: the node is ready; with --liveness as well: watch goes on.",
        "1": "There are problems. With --readiness-file: the node is not ready, or watch does not go on.",
        "2": _USAGE,
    },
    "watch": {
        "0": "SIGTERM or SIGINT has ended it, or the installation was removed.",
        "1": "It could not begin, or cannot go on.",
        "2": _USAGE,
    },
    "doctor": {
        "0": "Nothing has failed. Warnings count only with --fail-on warning. With --fail-on nothing: always.",
        "1": "A check has failed. With --pod: a link of the way is broken.",
        "2": "The command line is wrong, or names a pod, a check or a file that is not there.",
        "3": "Nothing could be checked. With --pod: the pod is not known.",
    },
    "pending": {
        "0": "What is pending was shown, or dropped.",
        "1": "It could not be read, or not be dropped.",
        "2": _USAGE,
    },
    "attach": {
        "0": "The plugin did what it was asked for.",
        "1": "The plugin has failed, or could not be run.",
        "2": _USAGE,
        _OTHER: "A signal has ended the plugin: 128 and its number. Any other status is the plugin's own.",
    },
    "agent": {
        "0": "SIGTERM or SIGINT has ended it.",
        "1": "It could not serve.",
        "2": _USAGE,
    },
    "version": {
        "0": "The version was told.",
        "1": "The release is damaged.",
        "2": _USAGE,
    },
}  # fmt: skip

EVERY_COMMAND = (
    "A command also ends with 1 if its output could not be written, as on a full disk or to a reader that has gone, and"
    " if SIGINT (Ctrl-C) has cut it off. It ends with 127 if a file of the release is missing, before it does anything."
)
