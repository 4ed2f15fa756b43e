#!/bin/sh
# Installs otb-cloud for this account and connects this computer to OTB Cloud. Needs no root; may be run again.
#
# It makes a Python environment of its own in ~/.local/share/otb-cloud, installs otb-cloud there with pip (checked by its
# digest; what it needs comes from your usual package index), and puts the command into ~/.local/bin. To remove it all:
#   rm -rf ~/.local/share/otb-cloud ~/.local/bin/otb-cloud
set -eu

url=@URL@
wheel=@WHEEL@
sha256=@SHA256@

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
            printf '%s' "$candidate"
            return
        fi
    done
}

main() {
    home=${XDG_DATA_HOME:-$HOME/.local/share}/otb-cloud
    bin=$HOME/.local/bin
    python=$(find_python)
    [ -n "$python" ] || fail "otb-cloud needs Python 3.9 or newer, and this computer has none. Install it (Debian and Ubuntu:" \
        "sudo apt install python3-venv, macOS: xcode-select --install), then run this again."

    say "Installing otb-cloud into $home"
    mkdir -p "$home" "$bin"
    if ! "$home/venv/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear "$home/venv" >&2 ||
            fail "Python's venv is missing. Install it (Debian and Ubuntu: sudo apt install python3-venv), then run this again."
    fi
    PIP_USER=0 "$home/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --upgrade \
        --force-reinstall "otb-cloud-client @ $url/connect/$wheel#sha256=$sha256" >&2 ||
        fail "pip could not install otb-cloud: see above. Nothing else was changed; run this again when that is mended."

    command=$home/venv/bin/otb-cloud
    if [ -e "$bin/otb-cloud" ] && ! [ -L "$bin/otb-cloud" ]; then
        say "$bin/otb-cloud is another program and stays as it is. This one is $command"
    else
        ln -sf "$command" "$bin/otb-cloud"
        command=$bin/otb-cloud
    fi
    case ":$PATH:" in
        *":$bin:"*) ;;
        *) say "$bin is not on your PATH. To call otb-cloud by its name, add this line to your shell's profile:" \
            "export PATH=\"\$HOME/.local/bin:\$PATH\"" ;;
    esac
    exec "$command" login "$url" "$@"
}

# Called on the last line, so that a script that came only in part does nothing.
main "$@"
