"""How the logits of several views become one prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

OUTPUTS = ("softmax", "sigmoid")
COMBINATIONS = ("mean", "confidence")


def check_fusion(output: str, combine: str) -> None:
    """Raise ValueError if logits cannot become probabilities, or views one prediction, in these ways."""
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
    if combine not in COMBINATIONS or (combine == "confidence" and output != "softmax"):
        allowed = COMBINATIONS if output == "softmax" else ("mean",)
        raise ValueError(f"combine must be {' or '.join(allowed)} with output={output!r}, got {combine!r}")


def fused_log_proba(logits: Mapping[str, Tensor], output: str = "softmax") -> Tensor:
    """Logarithm of the mean over the views of their class probabilities, shape (n, n_classes).

    Parameters
    ----------
    logits : mapping of str to Tensor
        By view, shape (n, n_classes).
    output : {"softmax", "sigmoid"}
        Sigmoid outputs are divided by their sum over the classes, so that rows sum to 1 either way.
    """
    scores = torch.stack(list(logits.values()))
    scores = scores if output == "softmax" else logsigmoid(scores)
    return scores.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))
