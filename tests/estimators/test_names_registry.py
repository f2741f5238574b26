"""Names, sweeps and globs; where plugins are found; what their facts hold."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import plugin_files
import pytest
from dvae_bench.estimators import estimator, registry
from dvae_bench.estimators.contract import Claim, Estimator, Unsupported
from dvae_bench.estimators.latents import KINDS, LatentSpec
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import (
    COLLECTORS,
    ESTIMATORS,
    TASKS,
    Plugin,
    Registry,
    heads,
    matches,
    read_plugins,
)

FACTS = 'aliases = ("my-own",)\nhyperparameters = {"n": {"default": 3, "min": 1}}'


@pytest.fixture
def fresh() -> Registry:
    """The estimators' registry, with nothing remembered and nothing to forget."""
    return Registry(ESTIMATORS.kind, ESTIMATORS.folder, ESTIMATORS.group)


@pytest.mark.parametrize(
    ("text", "family", "values"),
    [
        ("rloo", "rloo", {}),
        ("rloo:", "rloo", {}),
        (" rloo:n=4 ", "rloo", {"n": 4}),
        ("a:x=1,y=.5,z=word", "a", {"x": 1, "y": 0.5, "z": "word"}),
        ("a: x = 1e-3 , y = -2", "a", {"x": 1e-3, "y": -2}),
        ("a:x={7}", "a", {"x": 7}),
    ],
)
def test_a_name_is_parsed_into_family_and_values(text: str, family: str, values: dict[str, object]) -> None:
    name = Name.parse(text)
    assert (name.family, name.values) == (family, values)
    assert {key: type(value) for key, value in name.values.items()} == {k: type(v) for k, v in values.items()}


def test_sweeps_are_products() -> None:
    assert [str(name) for name in Name.sweep("a:y={.1,.5},x={1,2}")] == [
        f"a:x={x},y={y}" for y in (0.1, 0.5) for x in (1, 2)
    ]


def test_a_sweep_is_not_one_name() -> None:
    with pytest.raises(UsageError, match="names 2 variants"):
        Name.parse("a:x={1,2}")


@pytest.mark.parametrize("text", ["a:x", "a:=1", "a:x=", "a:x=1,y", "a:x=1,", "a:x=1}y=2", "a:x={1,{2}", "a:x={1}2"])
def test_malformed_parameters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write parameters as name:key=value"):
        Name.parse(text)


@pytest.mark.parametrize("text", ["a:x={}", "a:x={1,}", "a:x=b{1,2}"])
def test_malformed_sweeps_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a sweep as "):
        Name.sweep(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("rloo:n=2", "rloo"),
        ("loorf:n=4", "rloo:n=4"),
        ("gumbel-softmax:tau=1", "gumbel-softmax:tau=1.0"),
        ("concrete:tau=1.0", "gumbel-softmax:tau=1.0"),
        ("reinforce-ema:n=3,decay=.5", "reinforce-ema:decay=0.5,n=3"),
        ("reinforce-ema:decay=.5,n=3", "reinforce-ema:decay=0.5,n=3"),
        ("reinforce-ema:decay=.95,n=3", "reinforce-ema:n=3"),
    ],
)
def test_a_canonical_name_leaves_aliases_and_defaults_out(text: str, canonical: str) -> None:
    name = ESTIMATORS.canonical(Name.parse(text))
    assert str(name) == canonical
    assert ESTIMATORS.canonical(Name.parse(str(name))) == name


@pytest.mark.parametrize("registered", [ESTIMATORS, TASKS, COLLECTORS], ids=lambda r: r.kind)
def test_all_selects_every_plugin_once(registered: Registry) -> None:
    names = [str(name) for name in registered.select(["all", "*"])]
    assert sorted(names) == sorted({plugin.name for plugin in registered})


def test_globs_and_sweeps_select_each_name_once() -> None:
    names = ESTIMATORS.select(["reinforce*", "rloo:n={2,4}", "reinforce", "loorf"])
    assert sorted(map(str, names)) == ["reinforce", "reinforce-ema", "rloo", "rloo:n=4"]
    assert list(map(str, ESTIMATORS.select(["reinforce-?ma:n=2"]))) == ["reinforce-ema:n=2"]


def test_an_exclusion_is_a_glob_or_a_whole_name() -> None:
    four = Name.parse("rloo:n=4")
    assert matches(four, "rl*")
    assert matches(four, "rloo:n=4")
    assert not matches(four, "rloo:n=5")


def test_an_unknown_name_is_answered_with_the_three_nearest() -> None:
    with pytest.raises(UsageError, match="unknown estimator 'reinforc'; nearest: reinforce, ") as caught:
        ESTIMATORS.find("reinforc")
    assert len(str(caught.value).partition("nearest: ")[2].split(", ")) == 3
    with pytest.raises(UsageError, match="no task matches 'bitt\\*'; nearest: bit"):
        TASKS.select(["bitt*"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rloo:n=1", "rloo: n must be a whole number >= 2, got 1"),
        ("rloo:n=2.5", "rloo: n must be a whole number >= 2, got 2.5"),
        ("rloo:n=many", "rloo: n must be a whole number >= 2, got 'many'"),
        ("rebar:tau=0", "rebar: tau must be a number > 0.0, got 0.0"),
        ("rebar:tau=nan", "rebar: tau must be a number > 0.0, got nan"),
        ("reinforce-ema:decay=1", "reinforce-ema: decay must be a number >= 0.0 and < 1.0, got 1.0"),
        ("rloo:m=4", "rloo has no parameter 'm'; nearest: n; its parameters: n"),
        ("disarm:n=4", "disarm has no parameter 'n'; its parameters: none"),
    ],
)
def test_a_bad_parameter_is_one_sentence(text: str, sentence: str) -> None:
    for attempt in (
        lambda: ESTIMATORS.canonical(Name.parse(text)),
        lambda: estimator(text, LatentSpec.bernoulli(3)),
    ):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert str(caught.value) == sentence


def test_a_bad_choice_names_the_choices() -> None:
    with pytest.raises(UsageError, match="extension must be one of none, multilinear, bumpy, cubic, got 'smooth'"):
        TASKS.canonical(Name.parse("bit-table:extension=smooth"))


def test_facts_are_read_without_torch() -> None:
    code = (
        "import sys; from dvae_bench.estimators.registry import ESTIMATORS, TASKS, COLLECTORS\n"
        "assert all(p.facts['name'] for r in (ESTIMATORS, TASKS, COLLECTORS) for p in r)\n"
        "ESTIMATORS.select(['all']), TASKS.select(['all'])\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'scipy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("plugin", list(ESTIMATORS.builtin.values()), ids=lambda plugin: plugin.name)
def test_facts_are_complete(plugin: Plugin) -> None:
    cls = plugin.load()
    assert issubclass(cls, Estimator)
    for fact in ("name", "latents", "cost", "reference"):
        assert plugin.facts[fact] == getattr(cls, fact), f"{fact} must be a literal in the class body"
        assert fact in vars(cls)
    for fact in ("aliases", "differentiates", "hyperparameters"):
        assert plugin.facts.get(fact, getattr(Estimator, fact)) == getattr(cls, fact)
    assert plugin.facts["doc"] and plugin.facts["about"]
    assert set(plugin.facts["latents"]) <= set(KINDS)
    assert plugin.name == plugin.name.lower() and ":" not in plugin.name


@pytest.mark.parametrize("plugin", [*ESTIMATORS.builtin.values(), *TASKS.builtin.values()], ids=lambda p: p.name)
def test_each_hyperparameter_says_what_it_is(plugin: Plugin) -> None:
    """In a few words and no sentence; of a plugin that is not ours it may be left out."""
    for key, rule in plugin.fact("hyperparameters", {}).items():
        about = rule["about"]
        assert about == about.strip() and 3 < len(about) <= 80 and about[-1] != "." and "\n" not in about, key


def test_names_and_aliases_are_unique() -> None:
    words = [word for plugin in ESTIMATORS for word in (plugin.name, *plugin.facts.get("aliases", ()))]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("plugin", list(ESTIMATORS.builtin.values()), ids=lambda plugin: plugin.name)
def test_an_estimator_takes_what_it_says(plugin: Plugin) -> None:
    specs = {
        "bernoulli": LatentSpec.bernoulli(3),
        "categorical": LatentSpec.categorical(2, 3),
        "continuous": LatentSpec.continuous("gaussian", 3, 2),
        "sequence": LatentSpec.sequence(2, 3),
    }
    for kind, spec in specs.items():
        if kind in plugin.facts["latents"]:
            built = estimator(plugin.name, spec)
            assert isinstance(built.claim(), Claim)
            assert all(
                getattr(built, key) == rule["default"] for key, rule in plugin.fact("hyperparameters", {}).items()
            )
        else:
            with pytest.raises(Unsupported, match=f"{plugin.name} is defined for .* not {kind}"):
                estimator(plugin.name, spec)


def test_a_plugin_file_is_registered_with_its_facts(fresh: Registry, plugin_file: Callable[..., Path]) -> None:
    (plugin,) = fresh.add_file(plugin_file("mine", facts=FACTS))
    assert plugin.name == "mine"
    assert str(fresh.canonical(Name.parse("my-own:n=3"))) == "mine"
    assert fresh.find("mine").load()(LatentSpec.bernoulli(2)).n == 3


def test_a_missing_plugin_file_is_refused(fresh: Registry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plugin file"):
        fresh.add_file(tmp_path / "none.py")


def test_a_broken_plugin_can_be_fixed_and_loaded_again(fresh: Registry, plugin_file: Callable[..., Path]) -> None:
    path = plugin_file("mine", source=plugin_files.estimator("mine") + "raise RuntimeError('broken')\n")
    (plugin,) = fresh.add_file(path)
    with pytest.raises(RuntimeError, match="broken"):
        plugin.load()
    plugin_file("mine")
    assert plugin.load().name == "mine"


def test_an_entry_point_is_found(fresh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "dvae_bench.estimators.score_function.rloo:Rloo"
    point = importlib.metadata.EntryPoint("theirs", target, fresh.group)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == fresh.group else [])
    plugin = fresh.find("theirs")
    assert plugin.family == "third-party"
    assert plugin.load().name == "rloo"
    assert str(fresh.canonical(Name.parse("theirs:n=4"))) == "theirs:n=4"
    assert "theirs" in map(str, fresh.select(["all"]))


@pytest.mark.parametrize("registered", [ESTIMATORS, TASKS, COLLECTORS], ids=lambda r: r.kind)
def test_facts_are_those_of_the_whole_file(registered: Registry) -> None:
    """`list` reads files without their methods."""
    for path in registered.folder.rglob("*.py"):
        short, whole = (read_plugins(path, "m", parse) for parse in (heads, ast.parse))
        assert [vars(plugin) for plugin in short] == [vars(plugin) for plugin in whole]


@pytest.mark.parametrize(
    "method",
    [
        "    @property\n    def f(\n        self,\n    ) -> int:\n        return 1\n\n",
        "    async def f(self): return 1\n",
        '    def f(self):\n        """Text\nat the margin."""\n        return 1\n',
        "    @call(\n        1\n    )\n    def f(self):\n        return 1\n",
        "",
    ],
    ids=["property", "one line", "text at the margin", "a long decorator", "none"],
)
def test_facts_after_a_method_and_code_in_texts_are_kept(tmp_path: Path, method: str) -> None:
    text = '"""Use it so:\n\n    def mine():\n        return 2\n"""'
    path = tmp_path / "a.py"
    path.write_text(f"class A:\n    {text}\n\n    name = 'a'\n\n{method}    latents = ('bernoulli',)\n")
    (plugin,) = read_plugins(path, "a", heads)
    assert plugin.facts["latents"] == ("bernoulli",) and "return 2" in plugin.facts["doc"]


def test_words_stand_for_kinds_of_tasks() -> None:
    toys, vaes = ([name.family for name in TASKS.select([word])] for word in ("toy", "vae"))
    assert {"bit", "two-layer", "tiny-vae"} <= set(toys)
    assert set(vaes) == {"mnist-half", "mnist-vae", "mnist-vq", "mnist-explain"}
    assert sorted(toys + vaes) == sorted(plugin.name for plugin in TASKS.builtin.values())
