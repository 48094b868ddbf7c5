#!/usr/bin/env bash
# Everything that is worth knowing about rlrun on one GPU: parity, then speed, then learning, each under 10 minutes.
#   benchmarks/gpu.sh                          all three
#   benchmarks/gpu.sh parity                   one of them: parity, speed or learning
#   benchmarks/gpu.sh speed --seconds 120      further arguments go to the program: --seconds, --results, --device, --tiny
#   WHEELS=DIR benchmarks/gpu.sh               with the wheels in DIR installed as well, without a network
#   benchmarks/gpu.sh --device cpu --tiny      tries the programs out where there is no GPU; its numbers mean nothing
# Needs Python 3.11 to 3.13 with torch 2.11 or newer for the GPU (PYTHON names another than python3), and a checkout.
# Results are CSVs in benchmarks/results, with command, commit and machine; each row is written as it comes.
#   RLRUN_COMMIT=abc1234 benchmarks/gpu.sh     says which commit this copy is, where git or its history is missing
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}"

parts=(parity speed learning)
case "${1:-}" in
    parity | speed | learning)
        parts=("$1")
        shift
        ;;
    -* | "") ;;
    *)
        echo "gpu.sh: error: there is no part $1; there are parity, speed and learning" >&2
        exit 2
        ;;
esac

if [ -n "${WHEELS:-}" ]; then
    installed="$(mktemp -d)"
    trap 'rm -rf "$installed"' EXIT
    # In a folder of their own, so that nothing of the machine's changes, and its torch stays the one in use.
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$installed" \
            "$WHEELS"/*.whl
    else
        for wheel in "$WHEELS"/*.whl; do
            "$python" -m zipfile -e "$wheel" "$installed" # all that installing a wheel without scripts is
        done
    fi
    PYTHONPATH="$installed${PYTHONPATH:+:$PYTHONPATH}"
fi
# rlrun is this checkout's, so that the commit in the results is what was run, also where another one is installed.
export PYTHONPATH="$root:$root/benchmarks/speed${PYTHONPATH:+:$PYTHONPATH}"

if ! missing="$("$python" "$root/benchmarks/gpu/missing.py")"; then
    echo "gpu.sh: error: ${missing//$'\n'/; }: WHEELS=DIR installs wheels from a directory" >&2
    exit 2
fi

declare -A program=([parity]=parity.py [speed]=steps_per_second.py [learning]=learning.py)
failed=()
for part in "${parts[@]}"; do
    echo "== $part"
    # The programs watch the time themselves; this is for one that hangs.
    timeout --kill-after=10 595 "$python" "$root/benchmarks/gpu/${program[$part]}" "$@" || failed+=("$part")
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "gpu.sh: not met: ${failed[*]}" >&2
    exit 1
fi
