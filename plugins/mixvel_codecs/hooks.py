"""Definitions of the codecs; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import at_least, option
from mixvel_core.protocols import CodecFamily


@frozen(kw_only=True)
class PCAOptions:
    """Options of the codec ``pca``."""

    rank: int | None = option(
        default=None,
        check=at_least(1),
        doc="principal components kept, of each patch; absent: all, and nothing is lost",
    )
    patch: int | None = option(
        default=None,
        check=at_least(1),
        doc="side of square patches: latents are images of `rank` channels with a pixel for each patch, which networks "
        "of images work on; absent: items are taken as they are, and latents are vectors",
    )
    scale: Literal["keep", "unit"] = option(
        default="keep",
        doc="keep: distances between latents are those between items, as far as the components go; unit: latents are "
        "divided by one number, so that their mean variance is 1",
    )
    fit_on: int = option(default=10_000, check=at_least(2), doc="items it is fitted to, at random by the recipe's seed")


@frozen(kw_only=True)
class AutoencoderKLOptions:
    """Options of the codec ``autoencoder-kl``."""

    path: Path = option(doc="a folder of diffusers with an AutoencoderKL, alone or in a pipeline (vae/)")
    variant: str | None = option(
        default=None, doc="of the weights, as in their files' names: fp16, ema; absent: those without one"
    )
    posterior: Literal["mode", "sample"] = option(
        default="mode", doc="the latents of an item: the mode of its posterior, or one sample, by the recipe's seed"
    )


def _autoencoder() -> Path:
    # Written at the first call, not at import.
    from mixvel_codecs.examples import autoencoder_folder

    return autoencoder_folder()


CODECS: Sequence[PluginDef[Any, CodecFamily]] = (
    PluginDef(
        kind="codec",
        name="none",
        options=NoOptions,
        target="mixvel_codecs.identity:IdentityFamily",
        is_identity=True,
        summary="items as they are: experts are trained on the data themselves",
    ),
    PluginDef(
        kind="codec",
        name="pca",
        options=PCAOptions,
        target="mixvel_codecs.pca:PCAFamily",
        summary="principal components of items or of their patches, fitted to the data; exact at full rank",
    ),
    PluginDef(
        kind="codec",
        name="autoencoder-kl",
        options=AutoencoderKLOptions,
        target="mixvel_codecs.autoencoder_kl:AutoencoderKLFamily",
        example_options=lambda: AutoencoderKLOptions(path=_autoencoder()),
        summary="an AutoencoderKL of diffusers that others have trained, with the scale and shift of its configuration",
    ),
)


@hookimpl
def mixvel_codecs() -> Sequence[PluginDef[Any, CodecFamily]]:
    """The codecs of this package."""
    return CODECS
