"""docs/policy-gradients.md: every form of the policy gradient, with its exact bias, constant and variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dvae_bench.bench.report.constants import BENT
from dvae_bench.bench.report.numbers import plain
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

from . import reference
from .estimators import table


class Form(NamedTuple):
    """estimator: its name with four draws. weight: what multiplies ∇ log q of token t. use: the advice."""

    estimator: str
    weight: str
    use: str


REWARD, PENALTY = "sequence", "sequence:beta=0.5"
STALE = tuple(f"sequence:stale={steps}" for steps in (1, 10))
OFF_POLICY = (
    Form("importance:n=4", "ρ(z) (f - b)", "exact, but its variance grows with the length and the staleness"),
    Form("importance:n=4,per=token", "ρ_t (f - b)", "biased: the ratio of one token corrects that token alone"),
    Form("ppo-clip:n=4", "ρ_t (f - b), 0 if clipped", "biased: bounds the step, and bends it as samples grow stale"),
)
FORMS = {
    REWARD: (
        Form("rloo:n=4", "f - b, b the mean of the others", "**yes**"),
        Form("reinforce:n=4", "f", "no: the same mean as `rloo`, with more noise"),
        Form("greedy-baseline:n=4", "f - f(greedy)", "yes: ReMax, at the price of one more evaluation"),
        Form("group-mean", "f - f̄", "yes, beside no other term of the loss: the constant is (n - 1)/n"),
        Form("dr-grpo", "(f - f̄)/T", "yes, beside no other term of the loss: the constant is (n - 1)/(n T)"),
        Form("grpo:length=no", "(f - f̄)/s", "no, unless you want each prompt weighted by 1/s"),
        Form("grpo", "(f - f̄)/(s L)", "no: weighs prompts by 1/s, and short good and long bad sequences more"),
    ),
    PENALTY: (
        Form("kl-in-reward:n=4,credit=to-go", "A + β Σ_{s≥t} k1_s", "**yes**"),
        Form("kl-in-reward:n=4", "A + β Σ_s k1_s", "yes: the same mean, more noise in long sequences"),
        Form("kl-in-loss:n=4", "A + β Σ_s l_s", "**yes**: k2 of the sequence"),
        Form("kl-in-loss:n=4,per=token", "A + β l_t", "biased: k2 per token leaves out later tokens"),
        Form("kl-in-loss:k=k1,n=4", "A + β", "no: adds noise and no penalty"),
        Form("kl-in-loss:k=k3,n=4", "A + β (1 - e^-l)", "no: it penalises KL(reference ‖ q), l of the sequence"),
        Form("kl-in-loss:k=k3,n=4,per=token", "A + β (1 - e^-l_t)", "no: GRPO's form, KL(reference ‖ q) of each token"),
        Form("kl-in-reward:k=k2,n=4", "A + β Σ_s k2_s", "no: k2 is an estimate of another divergence"),
        Form("kl-in-reward:k=k2,n=4,per=sequence", "A + β k2", "no: ∇ E k2 - ∇ KL(q ‖ reference)"),
        Form("kl-in-reward:k=k3,n=4", "A + β Σ_s k3_s", "no: k3 estimates the KL, but its score does not"),
        Form("kl-in-reward:k=k3,n=4,per=sequence", "A + β k3", "no: ∇ KL(q ‖ reference) - ∇ KL(reference ‖ q)"),
        Form("group-mean", "f - f̄, and the exact KL beside", "no: (n - 1)/n of f makes β larger by n/(n - 1)"),
    ),
} | dict.fromkeys(STALE, OFF_POLICY)

TRL_FILE = "examples/peers/trl_peers.py"
_DR_GRPO = "trl-grpo:loss=dr_grpo,scale=none"
TRL = {
    REWARD: (
        Form("trl-rloo", "f - b", "**yes**: `rloo`"),
        Form("trl-grpo", "4 (f - f̄)/(s Σ L)", "no: weighs prompts by 1/s, and draws by the length of all four"),
        Form("trl-grpo:loss=grpo", "(f - f̄)/(s L)", "no: `grpo`"),
        Form("trl-grpo:loss=dr_grpo", "(f - f̄)/(s T)", "no: `loss_type` alone leaves 1/s in: `grpo:length=no`"),
        Form(_DR_GRPO, "(f - f̄)/T", "yes, without a KL: `dr-grpo`"),
        Form("trl-grpo:scale=none", "4 (f - f̄)/Σ L", "less bent than with s, and hardly in a batch of many prompts"),
    ),
    PENALTY: (
        Form("trl-rloo", "A + β Σ_s k1_s", "**yes**: `kl-in-reward`"),
        Form("trl-grpo", "4 ((f - f̄)/s + β l_t)/Σ L", "no: weighs f by 1/s, so that each prompt has another β"),
        Form(_DR_GRPO, "(f - f̄ + β l_t)/T", "no: the corrected KL is k2 per token, beside (n - 1)/n of f"),
        Form(_DR_GRPO + ",kl=plain", "(f - f̄ + β (1 - e^-l_t))/T", "no: k3 per token, beside (n - 1)/n of f"),
    ),
    STALE[1]: (
        Form("trl-rloo:samples=stale", "ρ(z) (f - b), 0 if clipped", "biased: clips the ratio of the sequence"),
        Form(_DR_GRPO + ",samples=stale", "ρ_t (f - f̄)/T, 0 if clipped", "biased: `ppo-clip`, with f̄ for b"),
    ),
}

TRAINED = ("rloo:n=4", "greedy-baseline:n=4", "group-mean", "grpo:length=no", "grpo", "reinforce:n=4")

HEAD = """# Policy gradients on sequences

**Use `rloo` for the reward. Penalise the KL by k1 in the reward, credited to go, or by k2 of the whole sequence in the
loss. k1 in the loss does nothing; k3 in the loss penalises the other KL; the divisions of GRPO bend the gradient.**

Libraries that train language models by reinforcement differ in what multiplies ∇ log q of a token, and argue which
form is right ([verl](https://github.com/verl-project/verl/pull/2953),
[OpenRLHF](https://github.com/OpenRLHF/OpenRLHF/pull/1309),
[open-instruct](https://github.com/allenai/open-instruct/issues/534)). Here each form is held against the exact
gradient. The task [`sequence`](plugins.md#sequence) has four prompts, whose rewards have 0.5, 1, 2 and 4 as mean and
deviation, and a policy over all 15 sequences of at most three tokens out of three, one of which ends the sequence. All
50,625 combinations of four draws are enumerated, so that no number below has noise.

* f = -reward is a cost, f̄ and s the mean and standard deviation of the four draws of a prompt, b the mean of the other
  three, A = f - b, L the length, T the largest length, l_t = log q_t - log reference_t, ρ = q / stale policy.
* *bias*: the length of E g - ∇ over the length of ∇, at the logits of all four prompts.
* *constant*: the c of E g = c ∇. A learning rate absorbs it if it is the same for all prompts. *bent* is the part of
  E g across ∇ over the part along it, with the range of the c of single prompts; no learning rate absorbs that.
* *variance / c²*: of one gradient of four draws, at equal length of the mean.
"""

MIDDLE = {
    REWARD: """## The reward

The objective is E f. The group mean takes the own draw into its baseline, which costs (n - 1)/n of the gradient: one
factor for all prompts, hence harmless. A division by the standard deviation of each prompt is another factor for each.
The reward comes with the end, so that the credit to go of f is f itself. `reinforce-ema` is unbiased as well; its
variance depends on the average that it has reached.
""",
    PENALTY: """## The KL penalty

The objective is E f + β KL(q ‖ reference) with β = 0.5, and A is that of `rloo`. In the *reward*, k multiplies
∇ log q. In the *loss*, k itself is differentiated at the draws, which leaves out that the draws move with q.

Exactly, for every policy, reference and f: E ∇k1 = 0; E ∇k2 of the sequence = ∇ KL(q ‖ reference) = E k1 ∇ log q, whole
or to go; E ∇k3 of the sequence = ∇ KL(reference ‖ q); E k2 ∇ log q = ∇ E k2 - ∇ KL(q ‖ reference), k2 of the sequence;
and k2 per token in the loss is the gradient of the KL of every single token, with how often its prefix is reached held
fixed. These are asserted to rounding on eight random instances (`tests/estimators/test_sequences.py`). The sizes in the
table are those of this task. Shah et al. 2025, [A comedy of estimators](https://arxiv.org/abs/2512.21852), compares
forms of the penalty in trainings of language models.
""",
    STALE[0]: """## Stale samples

The samples come from a policy that is 1 or 10 steps behind, a step being a fixed random table of logits of deviation
0.1, not a step along the gradient. The gradient is that of E_q f at the present policy. One step behind, no ratio
leaves the clip of 0.2:
""",
    STALE[1]: "Ten steps behind:\n",
}

OF_TRL = """## TRL {version}

**Use `RLOOTrainer`, with or without a KL. `GRPOTrainer` is right, up to a constant, with `loss_type="dr_grpo"`,
`scale_rewards="none"` and `beta=0`; its defaults bend the gradient.**

The same forms as TRL computes them. Of its trainers run the advantages, ratios, clipping, the KL term and the
normalisation, unmodified and with the defaults of their configs; the draws, rewards and log q are ours, and the
constructor, which loads a transformer, is skipped ([how](../examples/peers/trl_peers.py)). A test holds the gradient of
each line against its weight on shared draws (`tests/estimators/test_trl.py`). The commands need TRL beside this
package, `pip install -c constraints.txt -e ".[trl]"`, and take some minutes each.

* Every prompt is a batch of its own here, so that Σ L counts the tokens of its four draws. TRL sums them over all
  prompts of a batch: the more there are, the closer Σ L is to a constant and `scale=none` to the group mean.
  `loss=bnpo` is `loss=dapo`, the default, here.
* `loss_type="dr_grpo"` replaces the length alone: the published Dr. GRPO needs `scale_rewards="none"` as well.
* `loss_type="cispo"` caps ratios at `epsilon_high`, which is 0.2 by default, so that even fresh samples count 0.2, the
  KL beside them whole. The config recommends 5.
* In GRPO the KL is k3 per token in the loss. `use_bias_correction_kl`, on by default, multiplies it by the ratio, for
  "the unbiased reverse-KL gradient", that of KL(q ‖ reference). At fresh samples this is k2 per token, draw by draw,
  since k3 + k3' = l: it leaves out how a token changes the KL of later ones, and is biased as
  `kl-in-loss:n=4,per=token` above.
* `RLOOTrainer` has k1 of the sequence in the reward, and is exact at fresh samples.
"""

ON = {
    REWARD: "The reward:\n",
    PENALTY: "With the KL penalty, β = 0.5:\n",
    STALE[1]: "Ten steps behind:\n",
}

VERL = """## verl

verl's names for these forms, read in its source (commit 012be9d) and not run: `norm_adv_by_std_in_grpo` is the division
by s; the `loss_agg_mode` of `grpo` is `seq-mean-token-mean`, of `group-mean` `seq-mean-token-sum`, of `dr-grpo`
`seq-mean-token-sum-norm`, up to n, and `token-mean` divides by Σ L; the KL losses `kl`, `mse` and `low_var_kl` are k1,
k2 and k3 per token.
"""

END = """## Check a line

The last column of each table checks its line on your machine: it measures that form, by draws and by enumeration, and
prints the exact moments. For k1 in the loss, with two draws in place of four:

```sh
dvae-bench run -e kl-in-loss:k=k1 -t sequence:beta=0.5 -o results/line
dvae-bench table results/line exact
```

`dvae-bench table results/line toys` shows the same from draws, with the tests of bias and of the constant
([statistics](statistics.md#is-it-right-up-to-a-constant)). Estimate all of them on your own reward and policy with
[`measure`](tutorials/measure.md) and a `Sequence` of logits.

## Train a policy

A [`Policy`](api.md#class-policy) is a sequence whose logits a network computes; every estimator above trains it as it
is. [examples/train_policy.py](../examples/train_policy.py) teaches a GRU to sort four digits in some seconds on one
core (`python examples/train_policy.py grpo`). All rewards there have one scale, so that the division by s does not
hurt; the one by L costs steps at the start. Three seeds do not tell the first four apart. Right tokens of greedy
answers in percent, mean and range over the seeds:

{trained}

A step of it costs 1.03 [0.99, 1.08] times the CPU time of a hand-written one with the same two passes of the network,
one to draw and one to differentiate, and 1.34 [1.23, 1.60] times one that keeps the graph of the draws
(`benchmarks/test_sequence_step.py`).

Generated by `make docs` from `results/reference/policy-gradients/` (`make policy-gradients`).
"""


def page() -> str:
    found = {(line["task"], line["estimator"]): line for line in reference.policy_gradients().to_dict("records")}
    parts = [HEAD]
    for task, forms in FORMS.items():
        rows = [_line(task, form, found[str(_canonical(task)), str(_canonical(form.estimator))]) for form in forms]
        parts.append(MIDDLE[task] + "\n" + table(("form", "weight of ∇ log q_t", *COLUMNS), rows))
    (version,) = {line["version"] for key, line in found.items() if key[1].startswith("trl-")}
    parts.append(OF_TRL.format(version=version))
    for task, forms in TRL.items():
        rows = [_line(task, form, found[str(_canonical(task)), str(Name.parse(form.estimator))]) for form in forms]
        parts.append(ON[task] + "\n" + table(("form", "weight of ∇ log q_t", *COLUMNS), rows))
    return "\n".join([*parts, VERL, END.format(trained=_trained())])


def _trained() -> str:
    """Of each estimator the share of right tokens after some steps, over seeds."""
    ends = reference.trained_policies().groupby(["estimator", "step"])["right"].agg(["mean", "min", "max"])
    shown = (100 * ends).round(0).astype(int).apply(lambda end: f"{end['mean']} [{end['min']}, {end['max']}]", axis=1)
    rows = [(f"`{name}`", *(str(shown[name, step]) for step in SHOWN_STEPS)) for name in TRAINED]
    return table(("estimator", *(f"{step} steps" for step in SHOWN_STEPS)), rows).rstrip()


SHOWN_STEPS = (100, 200, 400, 600)
COLUMNS = ("bias", "constant", "variance / c²", "use it?", "check")


def _line(task: str, form: Form, line: Mapping[Any, Any]) -> tuple[str, ...]:
    family, foreign = form.estimator.partition(":")[0], form.estimator.startswith("trl-")
    chosen = f"{'--plugin ' + TRL_FILE if foreign else ''} -e {form.estimator} -t {task}".strip()
    straight = line["bend"] <= line["rounding"]
    spread = f"{BENT} {plain(line['bend'])}: {plain(line['least'])} to {plain(line['most'])}"
    return (
        f"`{form.estimator}`" if foreign else f"[`{form.estimator}`](estimators/{family}.md)",
        form.weight,
        "0" if line["bias"] <= line["rounding"] else plain(line["bias"]),
        plain(round(line["scale"], 9)) if straight else spread,
        plain(line["variance"] / line["scale"] ** 2),
        form.use,
        f"`dvae-bench run {chosen} -o results/line && dvae-bench table results/line exact`",
    )


def _canonical(text: str) -> Name:
    registry = TASKS if text.partition(":")[0] == "sequence" else ESTIMATORS
    return registry.canonical(Name.parse(text))
