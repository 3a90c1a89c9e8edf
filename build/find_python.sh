#!/bin/sh
# Print the Python to build with: $1 if given, else the distribution's if it will do, else python3.
# It will do when it is new enough, has venv, and a shared libpython, which PyInstaller bundles.
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
echo "no usable Python (${1:-/usr/bin/python3, python3}): it takes 3.11 or later with venv and a shared libpython." >&2
echo "On Debian: apt-get install python3 python3-venv libpython3-dev. Or name another: make PYTHON=/path/to/python3" >&2
exit 1
