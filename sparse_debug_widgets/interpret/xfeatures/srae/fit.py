"""The training of an explanation network: layer by layer, then as a whole, again if it degenerates.

The training is a row of stages (one per encoder layer, then the tries), each a row of epochs. Every epoch
draws from a stream of its own, so a training that was interrupted goes on to the same bits.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from sparse_debug_widgets.core.progress import Progress, ProgressCallback
from sparse_debug_widgets.core.seeding import torch_generator
from sparse_debug_widgets.interpret.xfeatures.srae.checkpoint import Checkpoint, Plan, State
from sparse_debug_widgets.interpret.xfeatures.srae.network import (
    ExplanationNetwork,
    awake_relu,
    dropped,
    faithfulness,
    first_layer,
    plain_reconstruction,
    pull_away,
    sparse_reconstruction,
)

_STREAM = "x-features"
_PRETRAINED_ROWS = 2000
_HARDER, _SOFTER = 1.2, 0.8
_SECOND = 0.3
_RIDGE = 1e-6
_FLAT = 1e-6
_WARM_UP = 0.05

Loss = Callable[[Tensor, torch.Generator], tuple[Tensor, list[float]]]


@dataclass(frozen=True)
class Terms:
    """The terms of eq. 3.6 by their factors; a factor of 0 switches a term off.

    Attributes:
        faithful: Of the squared error of the score, in units of the score's variance.
        beta: Of the reconstruction, of activations in units of their root mean square.
        q: Of the log penalty on each dimension's reconstruction; None for the plain squared error.
        eta: Of the pull-away term.
    """

    faithful: float = 50.0
    beta: float = 10.0
    q: float | None = 100.0
    eta: float = 10.0


@dataclass(frozen=True)
class Recipe:
    """The lengths and rates of a training; the public code's values if it has some.

    Attributes:
        epochs: Passes over the data; None for 10, or as many as make 800 steps.
        pretraining: Passes of each layer's own training, over at most 2,000 examples; None for 10, or as
            many as make 200 steps.
        batch_size: Examples in a step.
        learning_rate: Of Adam; it falls to nothing along half a cosine.
        weight_decay: Of Adam.
        dropout: Share of the first layer's units that is dropped.
        retries: Further tries where fewer than two x-features contribute.
    """

    epochs: int | None = None
    pretraining: int | None = None
    batch_size: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    dropout: float = 0.02
    retries: int = 4

    def epochs_for(self, rows: int) -> int:
        """Passes over so many rows of the whole network's training."""
        return self.epochs or max(10, -(-800 // -(-rows // self.batch_size)))

    def pretraining_for(self, rows: int) -> int:
        """Passes over so many rows of each layer's own training."""
        return self.pretraining or max(10, -(-200 // -(-rows // self.batch_size)))


@dataclass(frozen=True, eq=False)
class SraeProblem:
    """The problem of a training, in its own units.

    Attributes:
        activations: (M, p) or (M, p, h, w), root mean square 1.
        scores: (M,), above the mean of the negatives, variance 1 under the weights.
        weights: (M,) of the examples, mean 1.
        positive: (M,) bool.
    """

    activations: Tensor
    scores: Tensor
    weights: Tensor
    positive: Tensor


@dataclass(frozen=True, eq=False)
class Trained:
    """The outcome of a training.

    Attributes:
        network: In the units of the training.
        history: Per epoch of the last try: whole loss, faithfulness, reconstruction, pull-away.
        tries: For each try beta, eta, the second largest contribution over the largest, and "accepted".
    """

    network: ExplanationNetwork
    history: list[list[float]]
    tries: list[dict[str, float]]


def train(
    network: ExplanationNetwork,
    problem: SraeProblem,
    terms: Terms,
    recipe: Recipe,
    seed: int,
    report: ProgressCallback,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train a network.

    Args:
        network: Of the right widths; its weights are drawn here.
        problem: What is fitted.
        terms: Of the loss.
        recipe: How.
        seed: Of weights, order and dropout.
        report: Called once per step; may raise Cancelled.
        checkpoint: Where to keep the state, and to go on from.
    """
    return _Training(network, problem, terms, recipe, seed, report, checkpoint).run()


class _Training:
    def __init__(
        self,
        network: ExplanationNetwork,
        problem: SraeProblem,
        terms: Terms,
        recipe: Recipe,
        seed: int,
        report: ProgressCallback,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.network, self.problem, self.terms, self.recipe = network, problem, terms, recipe
        self.seed, self.report, self.checkpoint = seed, report, checkpoint
        network.draw(torch_generator(seed, _STREAM, "weights"))
        self.depth = len(network.pairs())
        self.epochs = recipe.epochs_for(len(problem.scores))
        rows = torch.randperm(len(problem.scores), generator=torch_generator(seed, _STREAM, "rows"))
        self.few = rows[:_PRETRAINED_ROWS]
        self.pretraining = recipe.pretraining_for(len(self.few))
        saved = checkpoint.load(self._plan()) if checkpoint else None
        self.state = saved or State(parameters=_flat(network))
        _fill(network, self.state.parameters)
        self.before = self.depth * self.pretraining * self._steps(len(self.few))
        self.total = self.before + self._steps(len(problem.scores)) * self.epochs
        self.done = 0

    def _plan(self) -> Plan:
        """The plan that states of this training must agree with."""
        network = self.network
        parts: list[list[nn.Module]] = [
            *([down, up] for down, up in network.pairs()),
            [network.encoder, network.decoder],
        ]
        sizes = [sum(p.numel() for part in stage for p in part.parameters()) for stage in parts]
        sizes[-1] += network.readout.weight.numel() if self.terms.faithful else 0
        epochs = (self.pretraining, self.epochs)
        return Plan(len(_flat(network)), tuple(sizes), epochs, self.recipe.retries + 1)

    def _steps(self, rows: int) -> int:
        return -(-rows // self.recipe.batch_size)

    def run(self) -> Trained:
        state = self.state
        for stage in range(self.depth):
            self._pretrain(stage)
        if state.start is None:
            self._fit_readout()
            state.start = _flat(self.network)
        while not self._finished():
            self._attempt(len(state.tries))
        best = max(state.tries, key=lambda one: (one["accepted"], one["second"]))
        if state.best is not None and best is not state.tries[-1]:
            _fill(self.network, state.best)
        return Trained(self.network, state.history, state.tries)

    def _finished(self) -> bool:
        tries = self.state.tries
        return bool(tries) and (bool(tries[-1]["accepted"]) or len(tries) > self.recipe.retries)

    def _pretrain(self, stage: int) -> None:
        """One encoder layer with its own decoder layer, on what the layers before it answer."""
        down, up = self.network.pairs()[stage]
        with torch.no_grad():
            values = self.problem.activations[self.few]
            for before, _ in self.network.pairs()[:stage]:
                values = before(values)
            if self.state.stage == stage and self.state.epoch == 0:
                _begin(down, up, values)

        def loss(rows: Tensor, _: torch.Generator) -> tuple[Tensor, list[float]]:
            return plain_reconstruction(up(down(values[rows])), values[rows]), []

        parameters: list[Tensor] = [*down.parameters(), *up.parameters()]
        self._stage(stage, parameters, loss, len(values), self.pretraining, f"layer {stage + 1}")

    def _fit_readout(self) -> None:
        """Weighted least squares of the scores on the x-features."""
        with torch.no_grad():
            root = self.problem.weights.sqrt().double()
            design, wanted = self._values().double() * root[:, None], self.problem.scores.double() * root
            gram = design.T @ design
            gram += _RIDGE * (gram.trace() + 1) * torch.eye(len(gram), dtype=gram.dtype)
            found = torch.linalg.solve(gram, design.T @ wanted)
            self.network.readout.weight.copy_(found[None].float())
            self.network.readout.bias.zero_()

    def _values(self) -> Tensor:
        chunks = torch.split(self.problem.activations, 1000)
        return torch.cat([self.network.pooled(self.network.encoder(chunk)) for chunk in chunks])

    def _attempt(self, number: int) -> None:
        """One fit of the whole network from the pretrained weights, judged by what contributes."""
        state = self.state
        if state.epoch == 0 and state.start is not None:
            _fill(self.network, state.start)
            state.history.clear()
        beta = self.terms.beta * _HARDER**number
        eta = self.terms.eta * _SOFTER**number
        terms = dataclasses.replace(self.terms, beta=beta, eta=eta)
        note = "whole network" + (f", try {number + 1}" if number else "")
        parameters: list[Tensor] = [*self.network.encoder.parameters(), *self.network.decoder.parameters()]
        if terms.faithful:
            parameters.append(self.network.readout.weight)
        whole = self._steps(len(self.problem.scores)) * self.epochs
        self.done = self.before + number * whole
        self.total = self.before + (number + 1) * whole
        self._stage(
            self.depth + number, parameters, self._loss(terms), len(self.problem.scores), self.epochs, note
        )
        if terms.faithful == 0:
            self._fit_readout()
        second, accepted = self._judge()
        if state.best is None or second > max(one["second"] for one in state.tries):
            state.best = _flat(self.network)
        state.tries.append({"beta": beta, "eta": eta, "second": second, "accepted": float(accepted)})
        state.parameters = _flat(self.network)

    def _loss(self, terms: Terms) -> Loss:
        network, problem = self.network, self.problem

        def loss(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, list[float]]:
            wanted, weights = problem.activations[rows], problem.weights[rows]
            first, rest = network.encoder[:2], network.encoder[2:-1]
            encoded = awake_relu(rest(dropped(first(wanted), self.recipe.dropout, generator)))
            values = network.pooled(encoded)
            faithful = faithfulness(network.score(values), problem.scores[rows], weights)
            rebuilt = pulled = wanted.new_zeros(())
            if terms.beta:
                back = network.decoder(encoded)
                if terms.q is None:
                    rebuilt = plain_reconstruction(back, wanted)
                else:
                    rebuilt = sparse_reconstruction(back, wanted, terms.q)
            if terms.eta:
                pulled = pull_away(values)
            whole = terms.faithful * faithful + terms.beta * rebuilt + terms.eta * pulled
            return whole, [whole.item(), faithful.item(), rebuilt.item(), pulled.item()]

        return loss

    def _judge(self) -> tuple[float, bool]:
        """The second largest mean contribution among positives over the largest, and whether that will do."""
        with torch.no_grad():
            values = self._values()[self.problem.positive].mean(0)
            sizes = (values * self.network.readout.weight[0]).sort(descending=True).values.tolist()
        if len(sizes) == 1:
            return float(sizes[0] > 0), sizes[0] > 0
        second = sizes[1] / sizes[0] if sizes[0] > 0 else -1.0
        return second, self.recipe.retries == 0 or second >= _SECOND

    def _stage(
        self,
        stage: int,
        parameters: list[Tensor],
        loss: Loss,
        rows: int,
        epochs: int,
        note: str,
    ) -> None:
        state, steps = self.state, self._steps(rows)
        if stage < state.stage:
            self.done += steps * epochs
            return
        optimizer = torch.optim.Adam(
            parameters,
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay if stage >= self.depth else 0.0,
            fused=True,
        )
        _restore(optimizer, parameters, state)
        self.done += steps * state.epoch
        for epoch in range(state.epoch, epochs):
            generator = torch_generator(self.seed, _STREAM, "order", stage, epoch)
            losses = []
            order = torch.randperm(rows, generator=generator)
            for step, chosen in enumerate(torch.split(order, self.recipe.batch_size)):
                self.report(Progress(self.done, self.total, f"{note}, epoch {epoch + 1} of {epochs}"))
                share = (epoch * steps + step) / (epochs * steps)
                for group in optimizer.param_groups:
                    group["lr"] = self.recipe.learning_rate * _pace(share)
                found, parts = loss(chosen, generator)
                optimizer.zero_grad()
                found.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(parts)
                self.done += 1
            if stage >= self.depth:
                state.history.append(np.mean(losses, 0).tolist())
            state.epoch = epoch + 1
            self._keep(optimizer, parameters)
        state.stage, state.epoch, state.moments, state.steps = stage + 1, 0, None, 0.0
        state.parameters = _flat(self.network)

    def _keep(self, optimizer: torch.optim.Optimizer, parameters: list[Tensor]) -> None:
        if self.checkpoint is None or not self.checkpoint.due():
            return
        state = self.state
        state.parameters = _flat(self.network)
        slots = [optimizer.state[parameter] for parameter in parameters]
        state.steps = float(slots[0]["step"])
        state.moments = torch.stack(
            [parameters_to_vector([slot[name] for slot in slots]) for name in ("exp_avg", "exp_avg_sq")]
        ).clone()
        self.checkpoint.save(state)


def _begin(down: nn.Module, up: nn.Module, values: Tensor) -> None:
    """Return the start of one pair of layers: every unit awake, the decoder its transpose.

    A unit is active on half of the examples, with a spread of 1. From PyTorch's own start, two of five
    x-features of a digit were dead before the whole network was trained; small ones died in its first steps.
    """
    encode, decode = first_layer(down), first_layer(up)
    rows = encode(values).transpose(0, 1).flatten(1)
    spread = rows.std(1).clamp_min(_FLAT)
    _bias(encode).sub_(rows.median(1).values).div_(spread)
    encode.weight.div_(spread.view(-1, *[1] * (encode.weight.ndim - 1)))
    weight = encode.weight.flatten(1)
    decode.weight.copy_((weight.T / weight.square().sum(1)).view_as(decode.weight))
    _bias(decode).copy_(values.transpose(0, 1).flatten(1).mean(1))


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    if layer.bias is None:  # cannot be: all layers of an explanation network have one
        raise TypeError(layer)
    return layer.bias


def _pace(share: float) -> float:
    """The learning rate's factor after a share of a stage: up to 1 at first, then down half a cosine."""
    return min(1.0, share / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))


def _flat(network: nn.Module) -> Tensor:
    return parameters_to_vector(network.parameters()).detach().clone()


def _fill(network: nn.Module, flat: Tensor) -> None:
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), _parts(flat, network.parameters()), strict=True):
            parameter.copy_(values)


def _parts(flat: Tensor, like: Iterable[Tensor]) -> list[Tensor]:
    shapes = [one.shape for one in like]
    pieces = torch.split(flat, [shape.numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _restore(optimizer: torch.optim.Optimizer, parameters: list[Tensor], state: State) -> None:
    """Adam's moments, where a stage goes on in the middle."""
    if state.moments is None:
        return
    first, second = (_parts(flat, parameters) for flat in state.moments)
    slots: dict[int, Any] = {
        i: {
            "step": torch.tensor(state.steps, dtype=torch.float32),
            "exp_avg": m.clone(),
            "exp_avg_sq": v.clone(),
        }
        for i, (m, v) in enumerate(zip(first, second, strict=True))
    }
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
