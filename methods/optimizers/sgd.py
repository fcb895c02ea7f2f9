"""Stochastic gradient descent with momentum, as PyTorch's, without PyTorch's compiler."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch.optim import SGD


class EagerSGD(SGD):
    """``torch.optim.SGD``, bit for bit, where nothing is compiled.

    PyTorch wraps these methods so that its compiler leaves them alone, and imports the compiler (with sympy and triton)
    for that at the first call: 1.4 s of processor time in each process that trains.
    """

    add_param_group = unwrap(SGD.add_param_group)
    zero_grad = unwrap(SGD.zero_grad)
    state_dict = unwrap(SGD.state_dict)
    load_state_dict = unwrap(SGD.load_state_dict)
    step = torch.no_grad()(unwrap(SGD.step))
