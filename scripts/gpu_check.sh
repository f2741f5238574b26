#!/usr/bin/env bash
# Everything that needs an accelerator, in under 8 minutes: scripts/gpu_check.sh [cuda] [results folder]
# Tests, no host sync in any gradient, fresh noise in graph replays, each speed path against the plain step, then the quick benchmark and its numbers.
# With `cpu` it rehearses itself where there is none; PYTHON chooses the interpreter.
set -euo pipefail
device=${1:-cuda}
results=${2:-results/gpu-check}
python=${PYTHON:-python}
cd "$(dirname "$0")/.."
started=$SECONDS

"$python" - "$device" <<'PY'
import sys

import torch
from dvae_bench.bench.clock import device_from
from dvae_bench.bench.context import device_name
from dvae_bench.estimators.names import UsageError

try:
    device = device_from(sys.argv[1])
except UsageError as error:
    sys.exit(f"gpu_check: {error}")
print(f"torch {torch.__version__}, {device_name(device)}")
PY

echo "== tests of devices, clocks and timing"
"$python" -m pytest -q tests/test_device_rules.py tests/bench/test_clock.py tests/bench/test_timing.py \
    tests/bench/test_deterministic_costs.py tests/bench/test_speed.py

echo "== a host sync in any gradient is an error"
"$python" - "$device" <<'PY'
import sys

import torch
from dvae_bench.bench.draws import Layers
from dvae_bench.bench.settings import ClockSettings
from dvae_bench.bench.streams import stream
from dvae_bench.bench.timing import timed_draws, timed_steps
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

device = torch.device(sys.argv[1])
watched = torch.cuda.set_sync_debug_mode if device.type == "cuda" else lambda mode: None
failed = 0
for text in ("bit", "bit-table", "category-table", "two-layer", "tiny-vae", "mnist-vae", "mnist-vae:arch=categorical"):
    (name,) = TASKS.select([text])
    task = TASKS.find(name.family).load()(device=device, **name.values)
    for plugin in ESTIMATORS:
        try:
            layers = Layers(plugin.load(), {}, task, device)
            if "steps" in task.sources:
                timed = timed_steps(task, layers.top, 0)
            else:
                timed = timed_draws(layers, task, ClockSettings(), 0)
            timed.gradient(stream(0, "check", device))
            generator = stream(1, "check", device)
            watched("error")
            timed.gradient(generator)
        except Unsupported:
            continue
        except Exception as error:
            failed += 1
            print(f"FAILED {plugin.name} on {text}: {type(error).__name__}: {error}")
        finally:
            watched("default")
print(f"{failed} gradients failed")
sys.exit(bool(failed))
PY

echo "== two replays of a captured gradient draw different noise"
"$python" - "$device" <<'PY'
import sys

import torch

device = torch.device(sys.argv[1])
if device.type == "cpu":
    sys.exit(print("nothing to capture on the CPU"))
from dvae_bench.estimators import estimator
from dvae_bench.estimators.latents import Bernoulli

params = torch.zeros(1000, 8, device=device, requires_grad=True)
rloo = estimator("rloo", Bernoulli(params).spec).eval()


def gradient():
    latent = Bernoulli(params)
    return torch.autograd.grad(rloo(lambda z: (z - 0.4).square().sum(-1), latent, None).sum(), params)[0]


stream, graph = torch.Stream(device), torch.accelerator.Graph()
stream.wait_stream(torch.accelerator.current_stream(device))
with stream:
    gradient()
    torch.accelerator.synchronize(device)
    with graph:
        answer = gradient()
    graph.replay()
    first = answer.clone()
    graph.replay()
    second = answer.clone()
torch.accelerator.synchronize(device)
assert not torch.equal(first, second), "two replays drew the same noise"
print("they do")
PY

echo "== each speed path of training against the plain step"
"$python" - "$device" <<'PY'
import sys
import time

import torch
from dvae_bench.bench.streams import stream
from dvae_bench.bench.training import TrainStep
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae

device = torch.device(sys.argv[1])
ROUNDING = {"compile": 784 * 2**-24, "cuda_graphs": 784 * 2**-24, "autocast": 2**-8}  # of the mean loss, 784 terms
FEW = ("reinforce", "disarm", "gumbel-softmax")
paths = [("autocast", "bf16", FEW), ("compile", "yes", FEW)]
if device.type == "cuda":
    paths.append(("cuda_graphs", "yes", [plugin.name for plugin in ESTIMATORS]))
plain_task = MnistVae(device)
data = plain_task.batches(stream(0, "data", device))
batches, failed = [next(data) for _ in range(10)], 0


def milliseconds(step):
    start = time.perf_counter()
    for x in batches:
        step(x)
    float(step(batches[0]).mean())
    return 1e3 * (time.perf_counter() - start) / (len(batches) + 1)


for path, value, names in paths:
    task = MnistVae(device, **{path: value})
    for name in names:
        load = ESTIMATORS.find(name).load()
        try:
            plain, fast = (TrainStep(t, load(t.spec).to(device), 0) for t in (plain_task, task))
            losses = []
            for k, x in enumerate(batches):
                for step in (plain, fast):
                    step.set_learning_rate(1e-3 / (1 + k))
                losses.append([float(step(x).mean()) for step in (plain, fast)])
            error = max(abs(b / a - 1) for a, b in losses)
            if not error <= ROUNDING[path] or not torch.equal(plain.generator.get_state(), fast.generator.get_state()):
                failed += 1
                print(f"FAILED {name}, {path}={value}: the loss is off by {error:.1e}, or other noise was drawn")
            elif name in FEW:
                print(f"{name}, {path}={value}: {milliseconds(fast):.2f} ms a step, plain {milliseconds(plain):.2f} ms")
        except Unsupported:
            continue
        except Exception as error:
            failed += 1
            print(f"FAILED {name}, {path}={value}: {type(error).__name__}: {error}")
print(f"{failed} steps failed")
sys.exit(bool(failed))
PY

echo "== the quick benchmark"
"$python" -m dvae_bench.cli run --preset quick --device "$device" -o "$results"

echo "== for the README"
"$python" - "$results" <<'PY'
import sys
from pathlib import Path

from dvae_bench.bench.store import Store

store = Store.open(Path(sys.argv[1]))
rows = store.rows()
metrics = ["time_total", "time_host", "time_enqueue", "time_replay", "host_bound", "launches", "memory_peak", "rounds"]
rows = rows[(rows["source"] == "clock") & rows["metric"].isin(metrics)]
context = store.context()
print(f"{context['device_name']}, torch {context['versions']['torch']}; times in microseconds, medians")
print(rows.pivot_table("value", ["task", "estimator"], "metric").round(3).to_string())
problems = rows.loc[rows["status"] != "ok", ["task", "estimator", "metric", "status", "reason"]]
print(problems.to_string(index=False) if len(problems) else "no problems")
PY
echo "gpu_check: done in $((SECONDS - started)) s"
