"""Each speed path of training against the plain path, and a refusal where it is not available."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.sources import STEPS, capture
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.bench.sources.training import graphed
from dvae_bench.bench.sources.training import step as step_module
from dvae_bench.bench.sources.training.evaluation import evaluate
from dvae_bench.bench.sources.training.graphed import Graphed, rehearse, state_tensors
from dvae_bench.bench.sources.training.logits_gradients import logits_draws, reference_draws
from dvae_bench.bench.sources.training.speed_paths import Compiled
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.tasks.vae import speed
from dvae_bench.tasks.vae.mnist_task import MnistTask
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from dvae_bench.tasks.vae.speed import check_speed, in_float32
from tiny import TRAINING, some_batches
from torch import Tensor, nn

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STATEFUL = ("reinforce-ema", "nvil", "rebar", "slope-annealed-st", "gumbel-softmax:rate=0.01,tau=1.0")
SUM_OF_784 = 784 * 2**-24
"""How far a float32 sum of 784 numbers of one sign can be off in one order or another, relative (Higham 1993)."""


def linear(**values: Any) -> MnistVae:
    return MnistVae(arch="linear", batch=16, **values)


def step_of(task: MnistTask, name: str = "reinforce") -> TrainStep:
    return TrainStep(task, build(name, task.layers[0]), seed=0)


def assert_equal_states(one: TrainStep, other: TrainStep) -> None:
    ours, theirs = state_tensors(one), state_tensors(other)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[place], theirs[place]) for place in ours)
    assert torch.equal(one.generator.get_state(), other.generator.get_state())
    assert one.evaluations == other.evaluations


class TestKeys:
    def cell(self, task: str) -> Cell:
        (name,) = TASKS.select([task])
        place, settings = Place(data="mnist-5k"), STEPS.presets["quick"]
        return Cell(estimator=Name("rloo"), task=name, source=STEPS, place=place, settings=settings)

    @pytest.mark.parametrize("task", ["mnist-vae", "mnist-vq"])
    def test_a_path_that_is_off_leaves_the_key_as_it_is(self, task: str) -> None:
        off = self.cell(f"{task}:autocast=no,compile=no,cuda_graphs=no")
        assert off.key() == self.cell(task).key() and off.recipe()["task"] == task

    @pytest.mark.parametrize("task", ["mnist-vae", "mnist-vq"])
    def test_each_path_has_a_key_of_its_own(self, task: str) -> None:
        paths = ("", ":autocast=bf16", ":compile=yes", ":cuda_graphs=yes", ":autocast=bf16,compile=yes")
        assert len({self.cell(task + path).key() for path in paths}) == len(paths)


class TestRefusals:
    def test_without_speed_paths_nothing_is_refused(self) -> None:
        check_speed(torch.device("meta"), {})
        check_speed(CPU, {"autocast": "bf16"})

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"cuda_graphs": "yes"}, "needs a CUDA device, and this is cpu; leave cuda_graphs out"),
            ({"compile": "yes", "cuda_graphs": "yes"}, "choose one of them"),
        ],
    )
    def test_cuda_graphs_are_refused_on_the_cpu(self, values: dict[str, str], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            linear(**values)

    def test_a_device_without_bfloat16_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UsageError, match="meta has no bfloat16 arithmetic; leave autocast out"):
            check_speed(torch.device("meta"), {"autocast": "bf16"})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
        with pytest.raises(UsageError, match="cuda has no bfloat16"):
            check_speed(torch.device("cuda"), {"autocast": "bf16"})

    def test_a_missing_compiler_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(UsageError, match="there is no no-such-compiler; install it or set CXX"):
            linear(compile="yes")


class TestBfloat16:
    def test_logits_are_within_bfloat16_rounding_and_returned_in_float32(self) -> None:
        """Of a linear decoder at bits, which bfloat16 holds exactly: two roundings to 8 bits, u = 2^-8, of weights and
        bias and of the answer, so that a logit is within (2u + u²)(Σ |w z| + |b|) of what it is.
        """
        step = step_of(linear(autocast="bf16"))
        vae = step.vae
        (layer,) = vae.decoder
        z = (torch.rand(500, 200, generator=stream(0, "sample")) < 0.5).float()
        with torch.no_grad():
            fast = vae.decoder(z)
            with in_float32(vae):
                exact = vae.decoder(z)
            size = z @ layer.weight.abs().T + layer.bias.abs()
        u = 2.0**-8
        bound = (2 * u + u**2 + SUM_OF_784) * size
        assert fast.dtype == torch.float32 and bool(((fast - exact).abs() <= bound).all())
        assert float((fast - exact).abs().max()) > SUM_OF_784 * float(size.max()), "it was computed in float32"

    @pytest.mark.parametrize("task", [linear, lambda **v: MnistVq(arch="conv", batch=8, **v)], ids=["vae", "conv vq"])
    def test_all_parameters_are_trained_in_float32(self, task: Any) -> None:
        fast = task(autocast="bf16")
        step = step_of(fast, "vq-st" if isinstance(fast, MnistVq) else "disarm")
        before = {name: tensor.clone() for name, tensor in step.vae.state_dict().items()}
        losses = [step(x) for x in some_batches(fast, 3)]
        assert all(loss.dtype == torch.float32 and bool(loss.isfinite().all()) for loss in losses)
        for name, parameter in step.vae.named_parameters():
            assert parameter.dtype == parameter.grad.dtype == torch.float32
            assert not torch.equal(before[name], parameter), name

    def test_evaluations_are_made_in_float32(self) -> None:
        fast, plain = (step_of(linear(**values)) for values in ({"autocast": "bf16"}, {}))
        x = some_batches(linear(), 1)[0]
        found, expected = (evaluate(step, step.task, TRAINING, 0, x, final=True) for step in (fast, plain))
        for metric in ("elbo_test", "kl_test", "iw_test"):
            np.testing.assert_array_equal(found[metric], expected[metric])
        assert not np.array_equal(found["var_cut"], expected["var_cut"]), "gradients are drawn as they are trained with"
        assert fast.vae.training

    def test_the_reference_of_the_bias_is_made_in_float32(self) -> None:
        fast, plain = (step_of(linear(**values)).vae for values in ({"autocast": "bf16"}, {}))
        x = some_batches(linear(), 1)[0]
        draws = [reference_draws(vae, x, 16, stream(0, "evaluation")) for vae in (fast, plain)]
        assert torch.equal(*draws)
        rloo = build("rloo", fast.spec).eval()
        assert not torch.equal(*(logits_draws(vae, rloo, x, 4, stream(0, "evaluation")) for vae in (fast, plain)))

    def test_each_layer_is_cast(self) -> None:
        fast, plain = (step_of(MnistVae(arch="two-layer-linear", **v)).vae for v in ({"autocast": "bf16"}, {}))
        assert len(fast.models()) == 2
        z = torch.rand(3, 200, generator=stream(0, "data"))
        for fast_layer, layer in zip(fast.models(), plain.models(), strict=True):
            assert not torch.equal(fast_layer.decoder(z), layer.decoder(z))
            with in_float32(fast):
                assert torch.equal(fast_layer.decoder(z), layer.decoder(z))

    def test_a_list_of_networks_is_cast_one_by_one(self) -> None:
        model = step_of(linear()).vae
        model.encoder = nn.ModuleList([nn.Linear(784, 4), nn.Linear(4, 2)])
        speed.in_bf16(model)
        x = torch.rand(3, 784, generator=stream(0, "data"))
        fast = model.encoder[0](x)
        with in_float32(model):
            assert not torch.equal(fast, model.encoder[0](x))


@pytest.mark.skipif(shutil.which(speed.cpp_compiler()) is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
class TestCompiled:
    @pytest.mark.parametrize(
        "name", ["gumbel-softmax", *(pytest.param(name, marks=pytest.mark.full) for name in ("reinforce", "disarm"))]
    )
    def test_a_compiled_step_is_the_plain_step_to_rounding(self, name: str) -> None:
        fast, plain = (step_of(linear(**values), name) for values in ({"compile": "yes"}, {}))
        assert isinstance(fast.path, Compiled) and plain.path == plain.bare
        for x in some_batches(plain.task, 3):
            torch.testing.assert_close(fast(x), plain(x), rtol=SUM_OF_784, atol=0)
        assert torch.equal(fast.generator.get_state(), plain.generator.get_state())
        assert fast.evaluations == plain.evaluations

    def test_what_cannot_be_compiled_is_unsupported(self) -> None:
        """REBAR differentiates a gradient of f again."""
        step = step_of(linear(compile="yes"), "rebar")
        with pytest.raises(Unsupported, match="compile=yes gives f no second derivative, which rebar needs"):
            step(some_batches(step.task, 1)[0])

    def test_only_training_steps_are_compiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compiled: list[str] = []

        def compile_(method: Any, fullgraph: bool) -> Any:
            assert fullgraph, "a part that does not compile would fall back silently"

            def run(*args: Tensor) -> Tensor:
                compiled.append(method.__name__)
                return method(*args)

            return run

        monkeypatch.setattr(torch, "compile", compile_)
        step, timeline = step_of(linear(compile="yes"), "rloo"), Timeline(CpuClock())
        x = some_batches(step.task, 1)[0]
        step(x)
        assert compiled == ["encode", "reconstruction"]
        step.path(x, timeline)
        assert compiled == ["encode", "reconstruction"] * 2 and "encoder_backward" in timeline.read()
        evaluate(step, step.task, TRAINING, 0, x, final=True)
        assert len(compiled) == 4, "evaluations are not compiled"


class PretendGraph:
    """A graph whose capture leaves no trace, as on a device, and whose replay is the step itself."""

    step: TrainStep

    def __init__(self) -> None:
        self.registered: list[torch.Generator] = []

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.registered.append(generator)

    def replay(self) -> None:
        path = self.step.path
        assert isinstance(path, Graphed) and self.registered == [self.step.generator]
        counted = self.step.evaluations
        path.loss.copy_(self.step.bare(path.x))
        self.step.evaluations = counted


@contextlib.contextmanager
def pretend_capture(graph: PretendGraph, stream: object) -> Iterator[None]:
    before = {place: tensor.clone() for place, tensor in state_tensors(graph.step).items()}
    generator = graph.step.generator.get_state()
    yield
    for place, tensor in state_tensors(graph.step).items():
        tensor.data.copy_(before[place])
    graph.step.generator.set_state(generator)


@pytest.fixture
def pretend_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(wait_stream=lambda other: None)
    cuda = SimpleNamespace(
        Stream=lambda device: stream,
        current_stream=lambda device: stream,
        stream=lambda stream: contextlib.nullcontext(),
        graph=pretend_capture,
        CUDAGraph=PretendGraph,
    )
    monkeypatch.setattr(capture, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(
        graphed, "capture", lambda call, warm_up, device, generator: capture.capture(call, warm_up, CUDA, generator)
    )


def graphed_step(task: MnistTask, name: str, monkeypatch: pytest.MonkeyPatch) -> TrainStep:
    step = step_of(task, name)
    step.path = Graphed(step)
    monkeypatch.setattr(PretendGraph, "step", step, raising=False)
    return step


class TestGraphed:
    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "radam", "sgd"])
    @pytest.mark.parametrize("name", ["reinforce", *STATEFUL])
    def test_a_rehearsal_leaves_nothing_behind(self, name: str, optimizer: str) -> None:
        rehearsed, plain = (step_of(linear(optimizer=optimizer), name) for _ in range(2))
        first, *more = some_batches(plain.task, 4)
        rehearse(rehearsed, first)
        for x in (first, *more):
            assert torch.equal(rehearsed(x), plain(x))
        assert_equal_states(rehearsed, plain)

    @pytest.mark.parametrize("name", ["reinforce", *STATEFUL])
    def test_replays_go_on_as_the_plain_step_does(
        self, name: str, pretend_cuda: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a learning rate that moves: on the device it is float32, so that all is equal to rounding only."""
        task = linear()
        fast, plain = graphed_step(task, name, monkeypatch), step_of(task, name)
        for k, x in enumerate(some_batches(task, 4)):
            for step in (fast, plain):
                step.set_learning_rate(1e-3 / (1 + k))
            torch.testing.assert_close(fast(x), plain(x), rtol=SUM_OF_784, atol=0)
            assert fast.evaluations == plain.evaluations
        assert torch.equal(fast.generator.get_state(), plain.generator.get_state())
        assert float(fast.optimizer.param_groups[0]["lr"]) == pytest.approx(1e-3 / 4)

    def test_a_loss_is_not_overwritten_by_the_next(self, pretend_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
        step = graphed_step(linear(), "rloo", monkeypatch)
        x, y = some_batches(step.task, 2)
        loss = step(x)
        kept = loss.clone()
        step(y)
        assert torch.equal(loss, kept)

    def test_state_that_is_replaced_is_refused(self, pretend_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
        step = graphed_step(linear(), "reinforce-ema", monkeypatch)

        def rebinds(draw: Tensor, estimate: Any) -> None:
            step.estimator.total = step.estimator.total + 1

        monkeypatch.setattr(step.estimator, "update", rebinds)
        with pytest.raises(UsageError, match="reinforce-ema replaces its state tensors at each step; leave out"):
            step(some_batches(step.task, 1)[0])

    def test_a_loaded_state_is_captured_anew(self, pretend_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
        step = step_of(linear())
        step(some_batches(step.task, 1)[0])
        path = step.path
        step.load_state_dict(step.state_dict())
        assert step.path is not path

    def test_a_replay_is_timed_as_one_phase(self, pretend_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
        step, timeline = graphed_step(linear(), "rloo", monkeypatch), Timeline(CpuClock())
        step.path(some_batches(step.task, 1)[0], timeline)
        assert set(timeline.read()) == {"graph"}

    def test_state_of_every_estimator_stays_where_it_is(self) -> None:
        """What a graph needs of all of them: a step moves state in place."""
        task = linear()
        x = some_batches(task, 1)[0]
        for plugin in ESTIMATORS:
            try:
                step = step_of(task, plugin.name)
            except Unsupported:
                continue
            step(x)
            places = graphed.state_places(step)
            step(x)
            assert graphed.state_places(step) == places, plugin.name


def test_a_timed_step_takes_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(step_module, "path_of", lambda task, step: lambda x, timeline: taken.append("path"))
    task = linear()
    timed_steps(task, build("rloo", task.spec), 0).call(Timeline(CpuClock()))
    assert taken == ["path"]
