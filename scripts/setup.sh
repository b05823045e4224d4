#!/usr/bin/env bash
# Installs the packages that Tandem needs on Debian 12 and prints each step. Safe to repeat.
#   scripts/setup.sh run    packages for building and running
#   scripts/setup.sh test   those of run, and packages for the tests
#   scripts/setup.sh bench  those of run, and the peers that `make bench` compares with Tandem
#   scripts/setup.sh coverage  those of run, and what `make coverage` needs
#   scripts/setup.sh amd    the synthesisers that say the training material of answering-machine detection
set -euo pipefail

for_run=(build-essential cmake pkg-config libpocketsphinx-dev pocketsphinx-en-us espeak-ng apertium-eng-spa)
for_test=(sip-tester baresip linphone-cli kamailio chromium firefox-esr coturn postgresql iproute2 flac sox openssl python3-dev python3-venv)
for_amd=(espeak-ng flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts festvox-ca-ona-hts festvox-czech-ph
    festvox-czech-dita festvox-czech-krb festvox-suopuhe-lj festvox-suopuhe-mv festvox-italp16k festvox-itapc16k python3-venv)
for_bench=(rtpengine-daemon kamailio sip-tester postgresql sox python3-dev python3-venv)

# Coverage needs llvm-profdata and llvm-cov of rustc's LLVM: rustup has them, and Debian where it has the same version.
for_coverage=()
if [ "${1:-run}" = coverage ] && command -v rustc >/dev/null; then
    llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    tools=$(rustc --print target-libdir)/../bin
    if [ ! -x "$tools/llvm-profdata" ] && command -v rustup >/dev/null; then
        echo "setup: adding llvm-tools to the Rust toolchain"
        rustup --quiet component add llvm-tools || true
    fi
    if [ ! -x "$tools/llvm-profdata" ]; then
        if apt-cache show "llvm-$llvm" >/dev/null 2>&1; then
            for_coverage=("llvm-$llvm")
        else
            echo "setup: llvm-profdata and llvm-cov of LLVM $llvm are missing, and neither rustup nor Debian has them here." >&2
            echo "    Run \`rustup component add llvm-tools\`, or install LLVM $llvm as llvm-profdata-$llvm and llvm-cov-$llvm." >&2
            exit 1
        fi
    fi
fi

case "${1:-run}" in
    run) wanted=("${for_run[@]}") ;;
    test) wanted=("${for_run[@]}" "${for_test[@]}") ;;
    bench) wanted=("${for_run[@]}" "${for_bench[@]}") ;;
    coverage) wanted=("${for_run[@]}" "${for_coverage[@]}") ;;
    amd) wanted=("${for_amd[@]}") ;;
    *) echo "usage: scripts/setup.sh run|test|bench|coverage|amd" >&2; exit 2 ;;
esac

for tool in cargo node npm python3; do
    command -v "$tool" >/dev/null || {
        echo "setup: \`$tool\` is missing: install Rust 1.94 or newer (rustup), Node 20 or newer and Python 3.11 or newer first." >&2
        exit 1
    }
done

missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -eq 0 ]; then
    echo "setup: all Debian packages are installed (${#wanted[@]} checked)"
elif [ "$(id -u)" -ne 0 ]; then
    echo "setup: ${#missing[@]} Debian packages are missing. Run this line as root, then try again:" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
else
    echo "setup: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # Daemons among the packages are only used as programs, so none is started during the installation.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: the packages could not be installed; the lines above show the reason." >&2
        exit 1
    fi
    rm -f "$log"
    # Daemons do not start with the machine either.
    for daemon in rtpengine-daemon kamailio coturn postgresql; do
        if [[ " ${missing[*]} " == *" $daemon "* ]] && command -v systemctl >/dev/null; then
            systemctl disable --quiet "$daemon" 2>/dev/null || true
        fi
    done
fi

if [[ "${1:-run}" =~ ^(test|coverage)$ ]] && ! cargo nextest --version >/dev/null 2>&1; then
    echo "setup: installing cargo-nextest (some minutes, once)"
    cargo install cargo-nextest --locked --quiet
fi

if [ "${1:-run}" = coverage ] && ! cargo llvm-cov --version >/dev/null 2>&1; then
    echo "setup: installing cargo-llvm-cov (some minutes, once)"
    cargo install cargo-llvm-cov --version 0.9.1 --locked --quiet
fi
