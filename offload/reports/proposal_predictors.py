"""The report on a trained predictor of region proposals, beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.reports.document import Report, Scalar, Section, fraction

if TYPE_CHECKING:
    from offload.video.proposals.quality import PredictionQuality
    from offload.video.proposals.weights_file import PredictorWeights

_SHOWN = (0.0, 0.1, 0.2)
"""Expansions for which people are told the coverage."""


def predictors_report(qualities: Sequence[PredictionQuality], *, judged_by: str, trained: PredictorWeights) -> Report:
    """How well predictors do, a table for each noise.

    Args:
        qualities: In the order to show them in.
        judged_by: What they were measured on.
        trained: Those of the one that was trained now.
    """
    recipe = trained.recipe
    noises = sorted({quality.noise for quality in qualities})
    shares = [share for share in qualities[0].coverage if share in _SHOWN]
    closing = (
        f"The best of them so: {max(qualities, key=lambda quality: (quality.noise, quality.mean_iou)).predictor}.",
        f"Judged on {judged_by}: {qualities[0].examples} boxes, one frame ahead.",
        "Expanded by: what of the true box lies in the predicted one, made larger by so much on each side.",
        f"Trained: {trained.parameters} parameters on {recipe['examples']} examples of {recipe['source']}, seed "
        f"{recipe['seed']}; loss {recipe['loss_first']:g} at first, {recipe['loss_last']:g} at last. "
        f"SHA-256 of the weights {trained.sha256[:12]}.",
    )
    return Report(
        title="Predictors of region proposals",
        sections=tuple(
            Section(
                title=f"Told boxes with errors of {noise:.0%} of their sides" if noise else "Told exact boxes",
                columns=("predictor", "mean IoU", *(f"expanded by {share:.0%}" for share in shares)),
                rows=tuple(
                    (
                        quality.predictor,
                        f"{quality.mean_iou:.4f}",
                        *(fraction(quality.coverage[share]) for share in shares),
                    )
                    for quality in qualities
                    if quality.noise == noise
                ),
                lines=closing if noise == noises[-1] else (),
            )
            for noise in noises
        ),
        records=tuple(_record(quality) for quality in qualities),
    )


def _record(quality: PredictionQuality) -> dict[str, Scalar]:
    return {
        "predictor": quality.predictor,
        "noise": quality.noise,
        "examples": quality.examples,
        "mean_iou": quality.mean_iou,
        **{f"coverage_{share:g}": found for share, found in quality.coverage.items()},
    }
