"""A level, a likelihood that is no density, an objective with a critic that learns from the labels there are."""

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import cross_entropy, softplus

import vlae
from vlae.objectives import frozen


class Rows(vlae.LevelSettings, kind="row-means"):
    def build(self, place, blocks):
        return RowsLevel(self.code_size, place.below)


class RowsLevel(vlae.LadderLevel):  # it reads the mean of each row, and adds a number to each row
    def __init__(self, code_size, shape):
        super().__init__()
        self.code_size, self.shape = code_size, shape
        self.head, self.v = nn.Linear(shape[0] * shape[1], 2 * code_size), nn.Linear(code_size, shape[0] * shape[1])

    def climb(self, below):
        return below

    def posterior(self, below, here):
        mean, raw = self.head(below.mean(3).flatten(1)).chunk(2, dim=1)
        return vlae.NormalCode(mean, raw.exp())

    def descend(self, above, code, fade):
        return above + (self.v(code) * fade).unflatten(1, (above.shape[1], -1, 1))


class EightBits(vlae.Likelihood, kind="8-bit"):  # the probability of pixels of 256 values
    num_values = 256

    def build(self, shape):
        return EightBitsHead()


class EightBitsHead(vlae.LikelihoodHead):
    def forward(self, output, mean, stddev, x=None):
        return Discretised(output)


class Discretised(Distribution):
    def __init__(self, output):
        super().__init__(output.shape[:1], output.shape[1:], validate_args=False)
        self.centre = output.sigmoid()

    mean = property(lambda self: self.centre)

    def log_prob(self, x):
        above, below = ((10 * (x + step - self.centre)).sigmoid() for step in (0.5 / 255, -0.5 / 255))
        mass = torch.where(x >= 1, 1.0, above) - torch.where(x <= 0, 0.0, below)
        return mass.clamp_min(1e-9).log().flatten(1).sum(1)


class FewLabels(vlae.ELBO, kind="few-labels"):
    def networks(self, model):
        size = model.code_sizes[-1]
        return nn.ModuleDict({"critic": nn.Linear(size, 1), "classes": nn.Linear(size, 3)})

    def rate_factors(self):
        return {"networks": 0.5}

    def terms(self, num_levels):
        return (*super().terms(num_levels), "critic_gap", "label_error")

    def loss(self, model, batch, *, step, progress, networks=None):
        bound = super().loss(model, batch, step=step, progress=progress)
        code, fresh = bound.forward.codes[-1], torch.randn_like(bound.forward.codes[-1])
        critic = networks["critic"]
        gap = softplus(critic(code.detach()) - critic(fresh)).mean()  # the critic's part; the next is the model's
        fooled = softplus(frozen(critic, fresh) - frozen(critic, code)).mean()
        known = (batch.labels >= 0).sum().clamp_min(1)
        error = cross_entropy(networks["classes"](code), batch.labels, ignore_index=-1, reduction="sum") / known
        terms = torch.cat([bound.terms, torch.stack([gap, error])])
        return vlae.Loss(bound.total + gap + fooled + error, terms, bound.forward)
