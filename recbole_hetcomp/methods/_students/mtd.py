"""MTD's student; its trainer is :class:`recbole_hetcomp.methods.mtd.MTDTrainer`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recbole_hetcomp.methods._losses import MTDSettings
from recbole_hetcomp.student.model import DistilledStudent, user_representation


class MTD(DistilledStudent):
    r"""Multi-teacher distillation with adaptive teacher weights, a baseline of the HetComp paper.

    .. math:: L = L_{base} + \lambda \frac1B \sum_u
              \Bigl[ \sum_m a_m(u) L_{rank}(\pi(m, final, u)) - \eta H(a(u)) \Bigr], \quad a(u) = softmax(W e_u + b)

    Choices: the gate is one linear layer over the student's user embedding, starts with equal weights (W = 0) and is
    trained with the student; η, ``gate_entropy``, keeps it from ending at the one teacher that is easiest to follow, as
    it does with 0; ``gate_temperature`` divides its logits; each teacher's list is cut at the smaller of K and K'. The
    gate is no part of what is served and does not count as a parameter in the table.

    Raises:
        ValueError: the backbone has no user embedding that the gate could read.
    """

    method_settings = MTDSettings

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        width = user_representation(self.backbone).shape[1]
        self.gate_layer = nn.Linear(width, len(self.settings.teachers))
        nn.init.zeros_(self.gate_layer.weight)
        nn.init.zeros_(self.gate_layer.bias)

    def gate(self, users: Tensor) -> Tensor:
        """a(u), the teachers' weights, float [B, M].

        Args:
            users: int64 [B].
        """
        return (self.gate_layer(user_representation(self.backbone, users)) / self.method.gate_temperature).softmax(1)
