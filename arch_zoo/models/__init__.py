"""Architectures: how an example becomes streams, and the modules that read them."""

from arch_zoo.models.architecture import Architecture

__all__ = ["Architecture"]
