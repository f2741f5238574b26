#!/usr/bin/env bash
# Everything that needs an accelerator, in under 9 minutes: scripts/gpu_check.sh [cuda] [results folder]
# The most valuable stages run first, each within its share of the time left, and each stores its findings in the folder
# before the next begins. Exits with 1 where a stage failed or ran out of time, with 2 where none can run here.
# `cpu` is a rehearsal; PYTHON chooses the interpreter, GPU_CHECK_SECONDS the total time (510).
set -uo pipefail
device=${1:-cuda}
results=${2:-results/gpu-check}
python=${PYTHON:-python}
total=${GPU_CHECK_SECONDS:-510}
cd "$(dirname "$0")/.."
wrong=()

stage() { # NAME SHARE COMMAND...: at most SHARE percent of the time left
    local limit=$(($2 * (total - SECONDS) / 100)) start=$SECONDS status=0 how
    ((limit > 0)) || limit=1
    echo "== $1, at most $limit s"
    timeout --foreground --signal=INT --kill-after=5 "$limit" "${@:3}" || status=$?
    case $status in
        0) how="ok" ;;
        124 | 137) how="OUT OF TIME" ;;
        130) exit 130 ;;
        *) how="FAILED with exit code $status" ;;
    esac
    how="$1: $how after $((SECONDS - start)) s"
    echo "== $how"
    ((status == 0)) || wrong+=("$how")
}

check() { # NAME SHARE
    stage "$1" "$2" "$python" scripts/gpu_check.py "$1" "$device" "$results"
}

pack() { # pack the folder of a run, successful or not, into one file
    [ ! -d "$results/$1" ] || { tar -czf "$results/$1.tar.gz" -C "$results" "$1" && rm -r "${results:?}/$1"; }
}

"$python" scripts/gpu_needs.py && mkdir -p "$results" || exit 2
exec > >(tee -i "$results/log.txt") 2>&1
"$python" scripts/gpu_check.py machine "$device" "$results" || exit 2

check syncs 20
check core 25
pack core
check graphs 30
check paths 35
stage quick 65 "$python" -m dvae_bench.cli run --preset quick --device "$device" --jobs "$(nproc)" -o "$results/quick"
pack quick
stage tests 100 "$python" -m pytest -q -rfE --junitxml="$results/tests.xml" tests/test_device_rules.py \
    tests/bench/test_{clock,timing,deterministic_costs,capture,speed}.py

echo "gpu_check: ${#wrong[@]} of 6 stages went wrong, all after $SECONDS s; results in $results"
((${#wrong[@]} == 0)) || { printf '  %s\n' "${wrong[@]}" && exit 1; }
