#!/bin/sh
# Print the Python to build with: $1 if it is given, else the distribution's python3, else the python3 in PATH.
# It must be usable: new enough, with venv, and with a shared libpython, which PyInstaller bundles.
set -eu

usable='
import ctypes, ensurepip, os, sys, sysconfig, venv
library = sysconfig.get_config_var("INSTSONAME")
folders = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib"), ""]
found = [path for path in (os.path.join(folder or "", library) for folder in folders) if os.path.exists(path)]
ctypes.CDLL(found[0] if found else library)
sys.exit(sys.version_info < (3, 11) or not sysconfig.get_config_var("Py_ENABLE_SHARED"))
'
for python in ${1:-/usr/bin/python3 python3}; do
    if "$python" -c "$usable" 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done
cat >&2 <<EOF_MESSAGE
No usable Python (tried ${1:-/usr/bin/python3, python3}). The build needs 3.11 or later, venv, and a shared libpython.
On Debian, run: apt-get install python3 python3-venv libpython3-dev
Or name another interpreter: make PYTHON=/path/to/python3
EOF_MESSAGE
exit 1
