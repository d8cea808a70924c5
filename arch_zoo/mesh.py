"""How many devices stand along each axis of the mesh. Values only; what they mean is said in training/sharding.py."""

import dataclasses
from typing import ClassVar

from arch_zoo.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class MeshConfig(Settings):
    """Devices in a grid, written `data:2,fsdp:4`; an axis that is not named has size 1, and `data` what is left."""

    in_one_text: ClassVar[bool] = True

    data: int | None = setting(None, "parts of the batch, each computed with whole parameters; none: the devices that "
                                     "the other axes leave. All axes in one text: mesh=data:2,fsdp:4", low=1)
    fsdp: int = setting(1, "parts into which parameters and optimizer state are cut by the width of the model, and "
                           "the batch as well", low=1)
    tensor: int = setting(1, "parts into which heads, feed-forwards and vocabulary are cut", low=1)

    def __str__(self) -> str:
        return ",".join(f"{field.name}:{value}" for field in dataclasses.fields(self)
                        if (value := getattr(self, field.name)) != field.default)

    @property
    def cuts_parameters(self) -> bool:
        """Whether a device holds less than the whole state."""
        return self.fsdp * self.tensor > 1
