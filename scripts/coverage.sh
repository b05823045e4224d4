#!/usr/bin/env bash
# Line coverage by unit tests. Prints the share of each crate and the ten least covered files of the engine.
#   scripts/coverage.sh            codecs, media-engine and control-api
#   scripts/coverage.sh codecs     these crates only
set -euo pipefail
cd "$(dirname "$0")/.."

crates=("$@")
[ ${#crates[@]} -gt 0 ] || crates=(codecs media-engine control-api)

# The tools of rustup are found by themselves; Debian's are named here. They must be of rustc's LLVM or newer.
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if [ ! -x "$(rustc --print target-libdir)/../bin/llvm-profdata" ]; then
    if command -v "llvm-profdata-$llvm" "llvm-cov-$llvm" >/dev/null; then
        export LLVM_PROFDATA="llvm-profdata-$llvm" LLVM_COV="llvm-cov-$llvm"
    else
        echo "coverage: llvm-profdata and llvm-cov of LLVM $llvm are missing: run \`scripts/setup.sh coverage\`" >&2
        exit 1
    fi
fi

packages=()
for crate in "${crates[@]}"; do packages+=(--package "$crate"); done
report=$(mktemp)
trap 'rm -f "$report"' EXIT
# Files of tests would raise the share of the code that they test.
cargo llvm-cov nextest --locked "${packages[@]}" --lib --bins --no-fail-fast \
    --ignore-filename-regex '/tests?(/|\.rs$)' --json --summary-only --output-path "$report"
python3 - "$report" "$PWD" <<'PYTHON'
import json
import sys

report, root = sys.argv[1:]
FEWEST_LINES = 20
files = {}
for file in json.load(open(report))["data"][0]["files"]:
    lines = file["summary"]["lines"]
    files[file["filename"].removeprefix(root + "/")] = (lines["covered"], lines["count"])


def share(pairs):
    covered, count = (sum(column) for column in zip(*pairs))
    return f"{100 * covered / max(count, 1):5.1f} % of {count} lines"


for crate in sorted({name.split("/")[0] for name in files}):
    print(f"coverage: {crate:<14} {share([pair for name, pair in files.items() if name.split('/')[0] == crate])}")
engine = [(covered / count, name) for name, (covered, count) in files.items() if name.startswith("media-engine/") and count >= FEWEST_LINES]
if engine:
    print(f"coverage: the least covered files of media-engine with at least {FEWEST_LINES} lines:")
for _, name in sorted(engine)[:10]:
    print(f"  {share([files[name]])}  {name}")
PYTHON
