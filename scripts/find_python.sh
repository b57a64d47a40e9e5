#!/bin/sh
# Prints the path of the Python that .venv is to be made with: the command given
# as the first argument, or else the first of the usual names that is new enough.
# The newest one comes last but for plain python3: packages with compiled parts
# often appear for it months after its release.
set -u

candidates="python3.13 python3.12 python3.11 python3.14 python3 python"
if [ -n "${1:-}" ]; then
    candidates="$1"
fi

too_old=""
for candidate in $candidates; do
    # A command may be there and still not run (a version manager's shim), so it is tried.
    if found=$("$candidate" -c 'import sys; print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable))' 2>/dev/null); then
        version=${found%% *}
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "${found#* }"
            exit 0
        fi
        too_old="$too_old $candidate is $version;"
    fi
done

if [ -n "$too_old" ]; then
    printf 'error: tenire needs Python 3.11 or newer, but%s\n' "${too_old%;}" >&2
else
    printf 'error: tenire needs Python 3.11 or newer; none was found as: %s\n' "$candidates" >&2
fi
printf 'hint: install one (Debian: apt-get install python3 python3-venv), or name it: make ... PYTHON=/path/to/python3\n' >&2
exit 1
