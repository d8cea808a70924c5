"""The kernel that fits what is asked."""

import dataclasses

from arch_zoo.layers.kernels.base import Asked, Kernel, fall_back
from arch_zoo.layers.kernels.cudnn import CuDNN
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.registry import KERNELS


@KERNELS.register("auto")
@dataclasses.dataclass(frozen=True)
class Automatic(Kernel):
    """On GPUs the first that takes it of cuDNN in its own words, Pallas, cuDNN with a dense bias; elsewhere einsum."""

    platforms = ("cpu", "gpu", "tpu")

    def refusal(self, asked: Asked) -> None:
        return None

    def chosen(self, asked: Asked) -> Kernel:
        kernels = [kernel for kernel in (CuDNN(dense=False), Pallas(), CuDNN())
                   if asked.platform in kernel.platforms]
        if not kernels:
            return Einsum()
        refusals = [(kernel, kernel.refusal(asked)) for kernel in kernels]
        able = [kernel for kernel, reason in refusals if reason is None]
        reasons = dict.fromkeys(f"{kernel.name}: {reason}" for kernel, reason in refusals)
        return able[0] if able else fall_back("; ".join(reasons), aloud=asked.train)
