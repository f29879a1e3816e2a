"""Bad calls are refused with the argument, its value, the rule and the cure."""

import math

import pytest
import torch

from core.shared import Net
from minddpm import (
    DDPM,
    EMA,
    MLP,
    History,
    Schedule,
    TrainConfig,
    UNet,
    ancestral,
    ddim,
)  # fmt: skip
from minddpm import ddpm_schedules as tables
from minddpm.train import train

X = torch.zeros(3, 2)
C = torch.tensor([0, 1, 2])
T_1 = torch.ones(3)
DDPM_3 = DDPM(MLP(2, 8, 3), n_T=10)
DATA = (torch.zeros(3, 2), C)


BAD_CALLS = {
    # schedules
    "T zero": (lambda: Schedule.linear(0), ValueError, "T must be at least 1, got 0"),
    "T float": (
        lambda: Schedule.cosine(10.0),
        TypeError,
        r"T must be an int, got 10\.0",
    ),
    "T bool": (lambda: Schedule.sigmoid(True), TypeError, "T must be an int, got True"),
    "betas swapped": (
        lambda: Schedule.linear(10, 0.02, 1e-4),
        ValueError,
        r"0 < beta_1 < beta_T < 1, got 0\.02 and 0\.0001; .*from_betas",
    ),
    "beta_T one": (
        lambda: Schedule.linear(10, 1e-4, 1.0),
        ValueError,
        r"0 < beta_1 < beta_T < 1, got 0\.0001 and 1\.0",
    ),
    "beta_1 negative": (
        lambda: Schedule.linear(10, -0.1, 0.02),
        ValueError,
        r"beta_1 must be finite and at least 0, got -0\.1",
    ),
    "beta_1 NaN": (
        lambda: Schedule.linear(10, math.nan, 0.02),
        ValueError,
        "beta_1 must be finite and at least 0, got nan",
    ),
    "rescaled beyond one": (
        lambda: Schedule.linear(10, rescale=True),
        ValueError,
        r"beta_T < 0\.01 = T/1000, for they are rescaled, got 0\.0001 and .*cosine",
    ),
    "beta_T above one before it is rescaled": (
        lambda: Schedule.linear(2000, 1e-4, 1.5, rescale=True),
        ValueError,
        r"0 < beta_1 < beta_T < 1, got 0\.0001 and 1\.5",
    ),
    "empty betas": (
        lambda: Schedule.from_betas([]),
        ValueError,
        r"the shape of betas must be \(T,\), T > 0, got \(0,\)",
    ),
    "2-D betas": (
        lambda: Schedule.from_betas(torch.full((2, 2), 0.1)),
        ValueError,
        r"the shape of betas must be \(T,\), T > 0, got \(2, 2\)",
    ),
    "beta zero": (
        lambda: Schedule.from_betas([0.1, 0.0]),
        ValueError,
        r"betas must give β in \[1e-12, 1\) .*got β_2 = 0 and .*; β = 0 adds no noise",
    ),
    "beta NaN": (
        lambda: Schedule.from_betas([math.nan]),
        ValueError,
        r"betas must give β in \[1e-12, 1\).* got β_1 = nan",
    ),
    "betas that vanish beside 1": (
        lambda: Schedule.from_betas([1e-18] * 5),
        ValueError,
        r"betas must give β in \[1e-12, 1\).* got β_1 = 1e-18",
    ),
    "betas that leave nothing": (
        lambda: Schedule.from_betas([0.999] * 30),
        ValueError,
        r"betas must give .* ᾱ of at least 1\.2e-38, got β_13 = 0\.999 and ᾱ_13 = 1e-3",
    ),
    "more steps than there is signal": (
        lambda: Schedule.linear(20_000),
        ValueError,
        r"T = 20000, beta_1 = 0\.0001, beta_T = 0\.02 must .* ᾱ of at least 1\.2e-38",
    ),
    "DDPM with more steps than there is signal": (
        lambda: DDPM(MLP(), n_T=20_000),
        ValueError,
        "T = 20000, beta_1 = .* must give .* ᾱ of at least",
    ),
    "linear from nothing": (
        lambda: Schedule.linear(10, 1e-300, 2e-300),
        ValueError,
        "T = 10, beta_1 = 1e-300, beta_T = 2e-300 must give β in .*got β_1 = 1e-300",
    ),
    "an offset beyond rounding": (
        lambda: Schedule.cosine(1000, s=1e18),
        ValueError,
        r"T = 1000, max_beta = 0\.999, s = 1e\+18 must give β in .*got β_1 = 0",
    ),
    "a largest beta of nothing": (
        lambda: Schedule.cosine(10, max_beta=1e-300),
        ValueError,
        "T = 10, max_beta = 1e-300, s = .* must give β in .*got β_1 = 1e-300",
    ),
    "sigmoid too steep": (
        lambda: Schedule.sigmoid(tau=0.05),
        ValueError,
        r"start = -3\.0, end = 3\.0, tau = 0\.05 must give β in .*got β_1 = 0",
    ),
    "sigmoid where it is flat": (
        lambda: Schedule.sigmoid(start=50, end=60),
        ValueError,
        r"start = 50, end = 60, tau = 1\.0 must give β in .*got β_1 = nan",
    ),
    "sigmoid beyond numbers": (
        lambda: Schedule.sigmoid(start=-800, end=800),
        ValueError,
        r"start = -800, end = 800, tau = 1\.0 must give β in .*got β_1 = 0",
    ),
    "sigmoid that hardly falls": (
        lambda: Schedule.sigmoid(tau=1e20),
        ValueError,
        r"tau = 1e\+20 must give β in .*got β_1 = nan",
    ),
    "negative offset": (
        lambda: Schedule.cosine(10, s=-0.1),
        ValueError,
        r"s must be finite and at least 0, got -0\.1",
    ),
    "max_beta one": (
        lambda: Schedule.cosine(10, max_beta=1.0),
        ValueError,
        r"max_beta must be in \(0, 1\), got 1\.0",
    ),
    "sigmoid backwards": (
        lambda: Schedule.sigmoid(10, start=3, end=-3),
        ValueError,
        "start must be less than end, got 3 and -3",
    ),
    "sigmoid from nowhere": (
        lambda: Schedule.sigmoid(10, start=-math.inf),
        ValueError,
        "start must be finite, got -inf",
    ),
    "sigmoid to a word": (
        lambda: Schedule.sigmoid(10, end="3"),
        TypeError,
        "end must be a number, got '3'",
    ),
    "sigmoid cold": (
        lambda: Schedule.sigmoid(10, tau=0.0),
        ValueError,
        r"tau must be positive, got 0\.0",
    ),
    "sigmoid hot": (
        lambda: Schedule.sigmoid(10, tau=math.nan),
        ValueError,
        "tau must be finite, got nan",
    ),
    "notes' schedule swapped": (
        lambda: tables(0.02, 1e-4, 100),
        ValueError,
        "0 < beta_1 < beta_T < 1",
    ),
    # the model
    "network is a function": (
        lambda: DDPM(lambda x: x),
        TypeError,
        r"nn_model must be a Module, got function",
    ),
    "n_T zero": (lambda: DDPM(MLP(), n_T=0), ValueError, "n_T must be at least 1"),
    "betas a list of three": (
        lambda: DDPM(MLP(), betas=[0.1, 0.2, 0.3]),
        ValueError,
        r"betas must be the pair \(beta_1, beta_T\), got .*from_betas",
    ),
    "drop_prob 1.5": (
        lambda: DDPM(MLP(), drop_prob=1.5),
        ValueError,
        r"drop_prob must be in \[0, 1\], got 1\.5",
    ),
    "betas None": (
        lambda: DDPM(MLP(), None),
        ValueError,
        r"betas must be the pair \(beta_1, beta_T\), got None; .*from_betas",
    ),
    "a device that is not there": (
        lambda: DDPM(MLP(), device="cuda:99"),
        ValueError,
        r"^device must name a device of this machine, got 'cuda:99' \(.*\); cpu is",
    ),
    "a device that is none": (
        lambda: DDPM(MLP(), device="toaster"),
        ValueError,
        r"^device must name a device of this machine, got 'toaster' \(.*\); cpu is",
    ),
    "a device by a number that is none": (
        lambda: DDPM(MLP(), device=1.5),
        ValueError,
        r"device must name a device of this machine, got 1\.5",
    ),
    "sample on a device that is not there": (
        lambda: DDPM_3.sample(1, (2,), "cuda:99"),
        ValueError,
        "device must name a device of this machine, got 'cuda:99'",
    ),
    "schedule a list": (
        lambda: DDPM(MLP(), schedule=[0.1]),
        TypeError,
        "schedule must be a Schedule, got list; .*from_betas",
    ),
    "schedule and n_T": (
        lambda: DDPM(MLP(), n_T=50, schedule=Schedule.cosine(20)),
        ValueError,
        r"schedule must come without betas and n_T, got .*, 50",
    ),
    "schedule and betas": (
        lambda: DDPM(MLP(), betas=(0.1, 0.2), schedule=Schedule.cosine(20)),
        ValueError,
        r"schedule must come without betas and n_T, got \(0\.1, 0\.2\)",
    ),
    # the forward process
    "t zero": (lambda: DDPM_3.q_sample(X, 0), ValueError, r"t must be in 1…10, got 0"),
    "t beyond T": (
        lambda: DDPM_3.q_step(X, 11),
        ValueError,
        "t must be in 1…10, got 11",
    ),
    "t tensor zero": (
        lambda: DDPM_3.q_sample(X, torch.tensor([1, 0, 3])),
        ValueError,
        "t must be in 1…10, got 0; times count from 1",
    ),
    "t float": (
        lambda: DDPM_3.q_sample(X, torch.rand(3)),
        TypeError,
        r"t must be an int or an int64 tensor, got torch\.float32.* t\.long\(\)",
    ),
    "t a Python float": (
        lambda: DDPM_3.q_sample(X, 0.5),
        TypeError,
        r"t must be an int, got 0\.5",
    ),
    "t of another batch": (
        lambda: DDPM_3.q_sample(X, torch.tensor([1, 2])),
        ValueError,
        r"t must have shape \(3,\), one time a sample, got \(2,\)",
    ),
    "x an array": (
        lambda: DDPM_3.q_sample(X.numpy(), 1),
        TypeError,
        r"x0 must be a float tensor, got ndarray; .*torch\.as_tensor\(x0\)\.float\(\)",
    ),
    "x_s an array": (
        lambda: DDPM_3.q_step(X.numpy(), 1),
        TypeError,
        r"x_s must be a float tensor, got ndarray; .*torch\.as_tensor",
    ),
    "x a number": (
        lambda: DDPM_3(torch.tensor(1.0)),
        ValueError,
        r"x must have shape \(B, \*D\), none of them 0, got a single number",
    ),
    "x of bytes": (
        lambda: DDPM_3(torch.zeros(3, 2, dtype=torch.uint8), C),
        TypeError,
        r"x must be a float tensor, got torch\.uint8; x / 127\.5 - 1 makes 0…255 one",
    ),
    "x of integers": (
        lambda: DDPM_3(torch.zeros(3, 2, dtype=torch.int64), C),
        TypeError,
        r"x must be a float tensor, got torch\.int64; .*as_tensor\(x\)\.float\(\)",
    ),
    "no x": (
        lambda: DDPM_3(X[:0], C[:0]),
        ValueError,
        r"x must have shape \(B, \*D\), none of them 0, got \(0, 2\)",
    ),
    "x0 of nothing": (
        lambda: DDPM_3.losses(X[:, :0], 1, C),
        ValueError,
        r"x0 must have shape \(B, \*D\), none of them 0, got \(3, 0\)",
    ),
    "x_t a list": (
        lambda: DDPM_3.predict_eps([[0.0, 0.0]], 1, C[:1], 2.0),
        TypeError,
        r"x_t must be a float tensor, got list; .*torch\.as_tensor\(x_t\)\.float\(\)",
    ),
    "x_t a number": (
        lambda: DDPM_3.predict_x0(torch.tensor(1.0), 1, torch.tensor(1.0)),
        ValueError,
        r"x_t must have shape \(B, \*D\), none of them 0, got a single number",
    ),
    "noise from a seed": (
        lambda: DDPM_3.q_sample(X, 1, generator=0),
        TypeError,
        "generator must be a Generator, got int",
    ),
    "draws from a seed": (
        lambda: DDPM_3(X, C, generator=0),
        TypeError,
        "generator must be a Generator, got int",
    ),
    "eps of another shape": (
        lambda: DDPM_3.q_sample(X, 1, torch.zeros(3, 3)),
        ValueError,
        r"eps must have shape \(3, 2\), got \(3, 3\)",
    ),
    "x on another device": (
        lambda: DDPM_3.q_sample(X.to("meta"), 1, X.to("meta")),
        ValueError,
        r"x0 must be on the model's device, cpu, got meta; .*x0\.to\(ddpm\.device\)",
    ),
    "batch on another device": (
        lambda: DDPM_3(X.to("meta"), C),
        ValueError,
        r"x must be on the model's device, cpu, got meta; .*x\.to\(ddpm\.device\)",
    ),
    "x_t on another device": (
        lambda: DDPM_3.predict_x0(X.to("meta"), 1, X.to("meta")),
        ValueError,
        r"x_t must be on the model's device, cpu, got meta; .*x_t\.to\(ddpm\.device\)",
    ),
    "x0 of another shape": (
        lambda: DDPM_3.q_posterior(X[:2], X, 1),
        ValueError,
        r"x0 must have shape \(3, 2\), got \(2, 2\)",
    ),
    "eps_hat of another shape": (
        lambda: DDPM_3.predict_x0(X, 1, X[:, :1]),
        ValueError,
        r"eps_hat must have shape \(3, 2\), got \(3, 1\)",
    ),
    # labels and guidance
    "label too large": (
        lambda: DDPM_3(X, C + 1),
        ValueError,
        r"c must be in 0…2 for n_classes = 3, got 3",
    ),
    "label negative": (
        lambda: DDPM_3(X, C - 1),
        ValueError,
        r"c must be in 0…2 for n_classes = 3, got -1",
    ),
    "labels as floats": (
        lambda: DDPM_3(X, C.float()),
        TypeError,
        r"c must be an int64 tensor of class labels, got torch\.float32; .*long\(\)",
    ),
    "labels as a list": (
        lambda: DDPM_3(X, [0, 1, 2]),
        TypeError,
        "c must be an int64 tensor of class labels, got list",
    ),
    "too few labels": (
        lambda: DDPM_3(X, C[:2]),
        ValueError,
        r"c must have shape \(3,\), one label a sample, got \(2,\)",
    ),
    "labels on another device": (
        lambda: DDPM_3(X, C.to("meta")),
        ValueError,
        "c must be on the model's device, cpu, got meta",
    ),
    "mask of another shape": (
        lambda: DDPM_3.losses(X, 1, C, context_mask=torch.zeros(3, 1)),
        ValueError,
        r"context_mask must have shape \(3,\), got \(3, 1\)",
    ),
    "guidance without labels": (
        lambda: DDPM_3.predict_eps(X, 1, w=2.0),
        ValueError,
        r"w must be 0 without labels, got 2\.0; pass the labels c",
    ),
    "guided with labels of another batch": (
        lambda: DDPM_3.predict_eps(X, 1, torch.zeros(6, dtype=torch.int64), 2.0),
        ValueError,
        r"c must have shape \(3,\), one label a sample, got \(6,\)",
    ),
    "guided at times of another batch": (
        lambda: DDPM_3.predict_eps(X, torch.ones(6, dtype=torch.int64), C, 2.0),
        ValueError,
        r"t must have shape \(3,\), one time a sample, got \(6,\)",
    ),
    "w NaN": (
        lambda: DDPM_3.predict_eps(X, 1, C, math.nan),
        ValueError,
        "w must be finite, got nan",
    ),
    "w a string": (
        lambda: DDPM_3.predict_eps(X, 1, C, "2"),
        TypeError,
        "w must be a number, got '2'",
    ),
    "network answers another shape": (
        lambda: DDPM(Net(lambda x_t, *given: x_t[:, :1]))(X),
        ValueError,
        r"nn_model's output must have shape \(3, 2\), got \(3, 1\)",
    ),
    # sampling
    "variance unknown": (
        lambda: DDPM_3.p_step(X, 1, C, variance="small"),
        ValueError,
        "variance must be one of posterior, beta; got 'small'",
    ),
    "p_step at two times": (
        lambda: DDPM_3.p_step(X, C, C),
        TypeError,
        "t must be an int, got tensor",
    ),
    "clip_x0 negative": (
        lambda: DDPM_3.p_step(X, 1, C, clip_x0=-1.0),
        ValueError,
        r"clip_x0 must be finite and at least 0, got -1\.0",
    ),
    "no sample": (
        lambda: DDPM_3.sample(0, (2,)),
        ValueError,
        "n_sample must be at least 1, got 0",
    ),
    "sample of no size": (
        lambda: DDPM_3.sample(1, 2),
        TypeError,
        r"size must be a shape such as \(1, 28, 28\), got int",
    ),
    "sample of size 0": (
        lambda: DDPM_3.sample(1, (2, 0)),
        ValueError,
        "each of size must be at least 1, got 0",
    ),
    "sample of half a size": (
        lambda: DDPM_3.sample(1, (2.5,)),
        TypeError,
        r"each of size must be an int, got 2\.5",
    ),
    "sample elsewhere": (
        lambda: DDPM_3.sample(1, (2,), "meta"),
        ValueError,
        "x_T must be on the model's device, cpu, got meta",
    ),
    "sample with w": (  # which is called guide_w here, and must not be passed over
        lambda: DDPM_3.sample(1, (2,), w=2.0),
        TypeError,
        r"ancestral\(\) got multiple values for keyword argument 'w'",
    ),
    "sample guided by a word": (
        lambda: DDPM_3.sample(1, (2,), guide_w="2"),
        TypeError,
        "guide_w must be a number, got '2'",
    ),
    "sample with an unknown option": (
        lambda: DDPM_3.sample(1, (2,), steps=5),
        TypeError,
        r"ancestral\(\) got an unexpected keyword argument 'steps'",
    ),
    "sample from a seed": (
        lambda: DDPM_3.sample(1, (2,), generator=0),
        TypeError,
        r"generator must be a Generator, got int; torch\.Generator\(\) makes one",
    ),
    "ancestral elsewhere": (
        lambda: ancestral(DDPM_3, X.to("meta")),
        ValueError,
        r"x_T must be on the model's device, cpu, got meta; .*x_T\.to\(ddpm\.device\)",
    ),
    "ancestral from a number": (
        lambda: ancestral(DDPM_3, torch.tensor(1.0)),
        ValueError,
        r"x_T must have shape \(B, \*D\), none of them 0, got a single number",
    ),
    "ancestral with an unknown option": (
        lambda: ancestral(DDPM_3, X, clip=1.0),
        TypeError,
        r"ancestral\(\) got an unexpected keyword argument 'clip'",
    ),
    "ddim elsewhere": (
        lambda: ddim(DDPM_3, X.to("meta"), steps=5),
        ValueError,
        "x_T must be on the model's device, cpu, got meta",
    ),
    "ancestral of a network": (
        lambda: ancestral(MLP(), X),
        TypeError,
        "ddpm must be a DDPM, got MLP",
    ),
    "ancestral from integers": (
        lambda: ancestral(DDPM_3, C),
        TypeError,
        r"x_T must be a float tensor, got torch\.int64",
    ),
    "ancestral, variance unknown": (
        lambda: ancestral(DDPM_3, X, variance="large"),
        ValueError,
        "variance must be one of posterior, beta; got 'large'",
    ),
    "ancestral, guidance without labels": (
        lambda: ancestral(DDPM_3, X, w=1.0),
        ValueError,
        r"w must be 0 without labels, got 1\.0",
    ),
    "ddim, no steps": (
        lambda: ddim(DDPM_3, X, steps=0),
        ValueError,
        "steps must be in 1…10, got 0",
    ),
    "ddim, more steps than T": (
        lambda: ddim(DDPM_3, X, steps=11),
        ValueError,
        "steps must be in 1…10, got 11",
    ),
    "ddim, times that begin below T": (
        lambda: ddim(DDPM_3, X, steps=[9, 5]),
        ValueError,
        r"steps must be times that fall from T = 10 to 1 or more, got \[9, 5\]; 0, wh",
    ),
    "ddim, times that rise": (
        lambda: ddim(DDPM_3, X, steps=(10, 5, 5)),
        ValueError,
        r"steps must be times that fall from T = 10 to 1 or more, got \(10, 5, 5\)",
    ),
    "ddim, no times": (
        lambda: ddim(DDPM_3, X, steps=[]),
        ValueError,
        r"steps must be times that fall from T = 10 to 1 or more, got \[\]",
    ),
    "ddim, time 0": (
        lambda: ddim(DDPM_3, X, steps=[10, 0]),
        ValueError,
        "each of steps must be in 1…10, got 0",
    ),
    "ddim, half a time": (
        lambda: ddim(DDPM_3, X, steps=[10, 2.5]),
        TypeError,
        "each of steps must be an int, got 2.5",
    ),
    "ddim, steps in words": (
        lambda: ddim(DDPM_3, X, steps="ten"),
        TypeError,
        "each of steps must be an int, got 't'",
    ),
    "ddim, eta": (
        lambda: ddim(DDPM_3, X, steps=5, eta=1.5),
        ValueError,
        r"eta must be in \[0, 1\], got 1\.5",
    ),
    "ddim, label too large": (
        lambda: ddim(DDPM_3, X, C + 5, steps=5),
        ValueError,
        "c must be in 0…2 for n_classes = 3, got 7",
    ),
    "ddim, clip_x0": (
        lambda: ddim(DDPM_3, X, steps=5, clip_x0=math.inf),
        ValueError,
        "clip_x0 must be finite and at least 0, got inf",
    ),
    # networks
    "odd n_feat": (lambda: MLP(2, 7), ValueError, "n_feat must be even, got 7"),
    "n_feat zero": (lambda: UNet(n_feat=0), ValueError, "n_feat must be at least 2"),
    "dim zero": (lambda: MLP(0), ValueError, "dim must be at least 1, got 0"),
    "n_classes negative": (
        lambda: UNet(n_classes=-1),
        ValueError,
        "n_classes must be at least 0, got -1",
    ),
    "null_label unknown": (
        lambda: MLP(null_label="none"),
        ValueError,
        "null_label must be one of learned, zero; got 'none'",
    ),
    "no middle": (lambda: UNet(middle=0), ValueError, "middle must be at least 1"),
    "no widths": (lambda: UNet(widths=()), ValueError, "widths must name at least one"),
    "patch zero": (lambda: UNet(patch=0), ValueError, "patch must be at least 1"),
    "points to a U-Net": (
        lambda: UNet()(X, C, torch.ones(3), torch.zeros(3)),
        ValueError,
        r"x_t must have shape \(any, 1, any, any\), got \(3, 2\)",
    ),
    "pictures to an MLP": (
        lambda: MLP()(torch.zeros(3, 1, 8, 8), C, torch.ones(3), torch.zeros(3)),
        ValueError,
        r"x_t must have shape \(any, 2\), got \(3, 1, 8, 8\)",
    ),
    "label too large for a network": (
        lambda: UNet()(torch.zeros(1, 1, 8, 8), 10 + C[:1], T_1[:1], T_1[:1]),
        ValueError,
        "c must be in 0…9 for n_classes = 10, got 10",
    ),
    "label negative for a network": (
        lambda: MLP(2, 8, 3)(X, C - 1, T_1, T_1),
        ValueError,
        "c must be in 0…2 for n_classes = 3, got -1",
    ),
    "labels of a network as floats": (
        lambda: MLP(2, 8, 3)(X, C.float(), T_1, T_1),
        TypeError,
        "c must be an int64 tensor of class labels, got torch.float32",
    ),
    "no labels for a network": (
        lambda: MLP(2, 8, 3)(X, None, T_1, T_1),
        TypeError,
        "c must be a Tensor, got NoneType",
    ),
    "labels of another batch for a network": (
        lambda: MLP(2, 8, 3)(X, C[:2], T_1, T_1),
        ValueError,
        r"c must hold 1 or 3 numbers, got \(2,\)",
    ),
    "times of another batch for a network": (
        lambda: MLP(2, 8, 3)(X, C, T_1[:2], T_1),
        ValueError,
        r"t must hold 1 or 3 numbers, got \(2,\)",
    ),
    "no mask for a network": (
        lambda: MLP(2, 8, 3)(X, C, T_1, None),
        TypeError,
        "context_mask must be a Tensor, got NoneType",
    ),
    "no picture for a network": (
        lambda: UNet()(torch.zeros(0, 1, 8, 8), C[:0], T_1[:0], T_1[:0]),
        ValueError,
        r"x_t must have shape \(B, \*D\), none of them 0, got \(0, 1, 8, 8\)",
    ),
    # training
    "train a network": (
        lambda: train(MLP(), DATA),
        TypeError,
        "ddpm must be a DDPM, got MLP",
    ),
    "train with a dict": (
        lambda: train(DDPM_3, DATA, {"steps": 1}),
        TypeError,
        "config must be a TrainConfig, got dict",
    ),
    "train on images alone": (
        lambda: train(DDPM_3, X),
        TypeError,
        r"data must be the pair \(samples, labels\), got Tensor; .*\(samples, None\)",
    ),
    "train on nothing": (
        lambda: train(DDPM_3, (X[:0], C[:0])),
        ValueError,
        r"samples must have shape \(N, \*D\) with N at least 1, got \(0, 2\)",
    ),
    "train on NaN": (
        lambda: train(DDPM_3, (torch.tensor([[0.0, 0], [0, math.nan], [0, 0]]), C)),
        ValueError,
        "samples must be finite, got NaN or infinity in 1 of 3, first in sample 1",
    ),
    "train on bytes": (
        lambda: train(DDPM_3, (torch.zeros(3, 2, dtype=torch.uint8), C)),
        TypeError,
        r"samples must be a float tensor, got torch\.uint8",
    ),
    "train with labels missing": (
        lambda: train(DDPM_3, (X, C[:1])),
        ValueError,
        r"labels must have shape \(3,\), one label a sample, got \(1,\)",
    ),
    "train with label 3 of 3": (
        lambda: train(DDPM_3, (X, C + 1)),
        ValueError,
        "labels must be in 0…2 for n_classes = 3, got 3",
    ),
    "train from a seed": (
        lambda: train(DDPM_3, DATA, generator=0),
        TypeError,
        "generator must be a Generator, got int",
    ),
    "train, resuming a file": (
        lambda: train(DDPM_3, DATA, resume="state"),
        TypeError,
        "resume must be a History, got str",
    ),
    "train, resuming another model": (
        lambda: train(DDPM_3, DATA, resume=History(DDPM(MLP()), TrainConfig())),
        ValueError,
        "resume must be a history of this model, got one of another",
    ),
    "no steps": (lambda: TrainConfig(steps=0), ValueError, "steps must be at least 1"),
    "lr zero": (lambda: TrainConfig(lr=0), ValueError, "lr must be positive, got 0"),
    "lr negative": (
        lambda: TrainConfig(lr=-1.0),
        ValueError,
        r"lr must be positive, got -1\.0",
    ),
    "lr a string": (
        lambda: TrainConfig(lr="fast"),
        TypeError,
        "lr must be a number, got 'fast'",
    ),
    "ema_decay one": (
        lambda: TrainConfig(ema_decay=1.0),
        ValueError,
        r"ema_decay must be in \[0, 1\), got 1\.0",
    ),
    "no seconds": (
        lambda: TrainConfig(max_seconds=0),
        ValueError,
        "max_seconds must be positive, got 0",
    ),
    "EMA that never learns": (
        lambda: EMA(MLP(), decay=1.0),
        ValueError,
        r"decay must be in \[0, 1\), got 1",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_call(name: str) -> None:
    call, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        call()
