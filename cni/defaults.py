"""Default values: types, folders, and the settings of the `ipam` object. Imports nothing.

Each value stands here once. The settings' defaults are upstream's (spiderpool cmd/spiderpool/cmd/cni_types.go).
"""

IPAM_TYPE = "spiderpool"  # the plugin's file name, and `ipam.type` in a network configuration
MAIN_PLUGIN_TYPE = "calico"

BIN_FOLDER = "/opt/cni/bin"
CONF_FOLDER = "/etc/cni/net.d"
RESULT_CACHE_FOLDER = "/var/lib/cni/results"  # libcni keeps each ADD's configuration and result there until DEL
STATE_FOLDER = "/var/lib/spiderpool-ipam"
PENDING_FOLDER = STATE_FOLDER + "/pending"
ATTACH_FOLDER = STATE_FOLDER + "/attach"
EMBEDDED_AGENT_FOLDER = STATE_FOLDER + "/agent"

AGENT_SOCKET = "/var/run/spidernet/spiderpool.sock"
REQUEST_TIMEOUT = 100  # seconds
LOG_LEVEL = "debug"
LOG_PATH = "/var/log/spidernet/spiderpool.log"
LOG_MAX_SIZE = 100  # MB
LOG_MAX_AGE = 30  # days
LOG_MAX_COUNT = 10  # files beside the one that is written
