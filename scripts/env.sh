#!/bin/sh
# env.sh SET VENV [PYTHON]: bring a virtual environment up to date.
set -eu
set_name=$1
venv=$2
wanted=${3:-}

here=$(dirname "$0")
inside="$venv/bin/python"
if [ -x "$venv/Scripts/python.exe" ]; then
    inside="$venv/Scripts/python.exe"
fi
version='import sys; print("%d.%d" % sys.version_info[:2])'

if [ -x "$inside" ] && has=$("$inside" -c "$version" 2>/dev/null); then
    if [ -z "$wanted" ]; then
        exec "$inside" "$here/bootstrap.py" "$set_name" --venv "$venv"
    fi
    python=$(sh "$here/find_python.sh" "$wanted")
    if [ "$("$python" -c "$version")" = "$has" ]; then
        exec "$inside" "$here/bootstrap.py" "$set_name" --venv "$venv"
    fi
    echo "tenire: $venv holds Python $has and another was asked for; making it anew"
    rm -rf "$venv"
    exec "$python" "$here/bootstrap.py" "$set_name" --venv "$venv"
fi
python=$(sh "$here/find_python.sh" "$wanted")
exec "$python" "$here/bootstrap.py" "$set_name" --venv "$venv"
