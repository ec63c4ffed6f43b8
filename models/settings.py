"""Rules that the settings of several papers share. Torch-free."""

from __future__ import annotations

from typing import Protocol, TypeVar


class _Drawn(Protocol):
    @property
    def data(self) -> str: ...
    @property
    def images(self) -> int: ...


D = TypeVar("D", bound=_Drawn)


def finite(settings: D) -> D:
    """A validator of settings that draw training images: crops of photographs have no end, so their number is said."""
    if settings.data == "photos" and settings.images == 0:
        raise ValueError("images: give a number above 0 with data 'photos', of which there are endless crops")
    return settings
