# The environment that the other scripts share: sourced, never run.
#
#   use_env EXTRA    makes .venv where it is missing, installs the project with EXTRA ("" for none) where
#                    pyproject.toml has changed since, and puts .venv/bin first in PATH

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

python_found() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

make_venv_with_uv() {
    local python
    # Without a Python that will do, uv brings one.
    python=$(python_found) || python=3.11
    uv venv --quiet --clear --python "$python" "$venv"
}

make_venv_with_pip() {
    local python
    python=$(python_found) || fail "stampmill needs Python 3.11 or newer. On Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python can't make environments. This mends it: sudo apt-get install python3-venv"
    "$python" -m venv "$venv"
}

have_uv() { command -v uv >/dev/null && uv --version >/dev/null 2>&1; }

install() {
    if have_uv; then
        uv pip install --quiet --python "$venv/bin/python" --editable "$1"
        return
    fi
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$1"
}

use_env() {
    local extra=$1 stamp wanted
    # An empty HOME would put caches into the current folder; without one, uv and pip ask the system.
    [ -n "${HOME:-}" ] || unset HOME
    stamp=$venv/.installed-${extra:-plain}
    # The path too: an environment that was moved has scripts that point elsewhere.
    wanted="$(cksum <"$root/pyproject.toml") $venv"
    if ! "$venv/bin/python" -c '' 2>/dev/null || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "Setting up ${venv/#$PWD\//} (about 210 MB to download the first time) ..."
        if ! "$venv/bin/python" -c '' 2>/dev/null; then
            rm -rf "$venv"
            if have_uv; then make_venv_with_uv; else make_venv_with_pip; fi
        fi
        install "$root${extra:+[$extra]}"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    export PATH=$venv/bin:$PATH VIRTUAL_ENV=$venv
    # Compiled once rather than at each start, which halves the time that a worker needs to get ready.
    unset PYTHONHOME PYTHONDONTWRITEBYTECODE
}
