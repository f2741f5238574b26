"""TRL's GRPO and RLOO trainers: their advantages and their loss, unmodified.

    dvae-bench run --plugin examples/peers/trl_peers.py -e 'trl-*' -t sequence:beta=0.5 -o results/trl

Of each trainer run `_generate_and_score_completions` (padding and masks, the log-probabilities of the stale and the
reference policy, the advantages) and `_compute_loss` (ratios, clipping, the KL term, normalisation), with the defaults
of its config. Ours are the draws, the rewards, and the policies as models that answer log q of token ids. The
constructor, which loads a transformer, does not run. One process, no accumulation, and every prompt is a batch of its
own: its n completions are all that a loss normalised over the batch sees.
"""

from collections import defaultdict
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from dvae_bench import Claim, Estimate, Estimator, Sequence, Unsupported
from torch.nn.functional import one_hot, pad
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

GROUPS_AT_ONCE = 20_000


class Trl(Estimator):
    """Abstract: the mean over a group of n draws of one prompt; `trainer` makes the object of TRL."""

    def target(self, f, latent):
        return super().target(f, latent) + latent.beta * latent.kl_to_prior()

    def sample(self, latent, generator):
        drawn_from = latent.behaviour if self.samples == "stale" else latent
        return drawn_from.sample(self.n, generator)

    def gradient(self, f, latent, draw):
        if latent.spec.family:
            raise Unsupported(f"{self.name} reads a table of logits: give a Sequence, not a {latent.spec}")
        f_z, batch = f(draw), latent.batch_shape
        tables = [latent.params, latent.behaviour.params if self.samples == "stale" else latent.params.detach()]
        tables.append(torch.zeros_like(latent.params) if latent.reference is None else latent.reference)
        policy, old, reference = (
            Model(table.expand_as(latent.params).reshape(-1, *latent.spec.param_shape)) for table in tables
        )
        trainer = self.trainer(latent, old, reference)
        inputs = trainer.score(of_groups(draw.detach(), batch), of_groups(-f_z.detach(), batch))
        trainer.accelerator = Unlogged(cpu=True)

        def loss(group):
            return trainer._compute_loss(policy, group | {"num_items_in_batch": group["completion_mask"].sum()})

        losses = torch.func.vmap(loss, chunk_size=GROUPS_AT_ONCE)(inputs).view(batch)
        log_q = latent.log_prob(draw).detach()
        value = f_z + latent.beta * (log_q - latent.prior_log_prob(draw))
        if self.samples == "stale":
            value = (log_q - latent.behaviour.log_prob(draw)).exp() * value
        return Estimate(value.mean(0) + (losses - losses.detach()))


class TrlGrpo(Trl):
    """GRPOTrainer. kl=corrected is its default, use_bias_correction_kl; kl=plain leaves the ratio out."""

    name = "trl-grpo"
    latents = ("sequence",)
    hyperparameters = {
        "loss": {
            "default": "dapo",
            "choices": ("dapo", "grpo", "bnpo", "dr_grpo", "luspo", "cispo"),
            "about": "loss_type",
        },
        "scale": {"default": "group", "choices": ("group", "none"), "about": "scale_rewards"},
        "ratio": {"default": "token", "choices": ("token", "sequence"), "about": "importance_sampling_level"},
        "kl": {"default": "corrected", "choices": ("corrected", "plain"), "about": "use_bias_correction_kl"},
        "samples": {"default": "fresh", "choices": ("fresh", "stale"), "about": "of the present or the stale policy"},
        "n": {"default": 4, "min": 2, "about": "draws of z, num_generations"},
    }
    cost = "n evaluations"
    reference = "https://github.com/huggingface/trl"

    def claim(self):
        return Claim(target="penalised", unbiased=False)

    def trainer(self, latent, old, reference):
        return trainer_of(
            Grpo, GRPOConfig, latent, old, reference,
            num_generations=self.n, loss_type=self.loss, scale_rewards=self.scale,
            importance_sampling_level=self.ratio, use_bias_correction_kl=self.kl == "corrected",
            num_iterations=2 if self.samples == "stale" else 1,
        )  # fmt: skip


class TrlRloo(Trl):
    """RLOOTrainer: a leave-one-out baseline, and k1 of the sequence in the reward."""

    name = "trl-rloo"
    latents = ("sequence",)
    hyperparameters = {
        "samples": {"default": "fresh", "choices": ("fresh", "stale"), "about": "of the present or the stale policy"},
        "n": {"default": 4, "min": 2, "about": "draws of z, num_generations"},
    }
    cost = "n evaluations"
    reference = "https://github.com/huggingface/trl"

    def claim(self):
        return Claim(target="penalised", unbiased=self.samples == "fresh")

    def trainer(self, latent, old, reference):
        return trainer_of(Rloo, RLOOConfig, latent, old, reference, num_generations=self.n)


class Model:
    """Policies of all prompts as one model: logits [prompts, prefixes, K]. Each row of ids begins with its prompt,
    a number; K pads."""

    training, is_gradient_checkpointing = True, False

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, input_ids, labels, **_):
        policy, tokens = Sequence(self.logits[input_ids[:, 0]]), self.logits.shape[-1]
        ids = torch.where(labels < 0, tokens, input_ids)[:, 1:]
        z = one_hot(ids, tokens + 1)[..., :tokens].to(self.logits.dtype)
        log_q = policy.log_probs(pad(z, (0, 0, 0, policy.steps - z.shape[-2])))[:, : z.shape[-2]]
        log_q = pad(log_q, (1, 0))
        return SimpleNamespace(log_probs=log_q, entropy=torch.zeros_like(log_q))


class Unlogged(Accelerator):
    """Its metrics are 0: those of TRL's loss are no numbers under vmap, which runs it for every group at once."""

    def gather(self, tensor):
        return torch.zeros(1)

    def reduce(self, tensor, reduction="sum"):
        return torch.zeros(2)


class OnePrompt:
    """Mixin: a trainer without its constructor, which copies most attributes from `args`."""

    tools = environments = environment_factories = None
    aux_loss_enabled = _entropy_bonus_enabled = False
    reward_func_names = ["f"]
    current_gradient_accumulation_steps = 1

    def __getattr__(self, name):
        return getattr(vars(self)["args"], name)

    def score(self, z, rewards):
        """TRL's inputs of its loss, each [groups, n, ...]: of draws z [groups, n, T, K] and rewards [groups, n]."""
        groups, n, _, tokens = z.shape
        ids, lengths = z.argmax(-1).flatten(0, 1).tolist(), z.sum((-1, -2)).long().flatten().tolist()
        self.completions = [row[:length] for row, length in zip(ids, lengths, strict=True)]
        self.rewards = rewards.reshape(-1, 1)
        self._tokenizer = SimpleNamespace(pad_token_id=tokens)
        self.args.per_device_train_batch_size = len(ids)  # else TRL asks the policies in small chunks
        found = self._generate_and_score_completions([{"prompt": [k]} for k in range(groups) for _ in range(n)])
        return {key: each.unflatten(0, (groups, n)) for key, each in found.items() if each.dim()}

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        return self.rewards


class Grpo(OnePrompt, GRPOTrainer):
    def _generate(self, prompts):
        return prompts, self.completions, None, self.completions, None, {}, None, None


class Rloo(OnePrompt, RLOOTrainer):
    def _generate(self, prompts):
        return prompts, self.completions, self.completions


def trainer_of(cls, config, latent, old, reference, **settings):
    """The trainer with these settings, whose model when it generates is the old policy."""
    trainer = cls.__new__(cls)
    args = config(
        output_dir="unused", use_cpu=True, bf16=False, report_to="none", beta=latent.beta,
        per_device_train_batch_size=settings["num_generations"], max_completion_length=latent.steps, **settings,
    )  # fmt: skip
    vars(trainer).update(
        args=args,
        model=old,
        ref_model=reference,
        accelerator=Accelerator(cpu=True),
        epsilon_low=args.epsilon,
        epsilon_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
        reward_weights=torch.ones(1),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _logs=defaultdict(list, rewards=defaultdict(list), extra=defaultdict(list)),
        _pending_extra_logs={},
        _pending_metrics={},
    )
    return trainer


def of_groups(tensor, batch):
    """[n, *batch, ...] as [groups, n, ...]."""
    return tensor.flatten(1, len(batch)).transpose(0, 1) if batch else tensor.unsqueeze(0)
