"""The policy table that follows from what was measured; its keys are told in the server's `pipeline/policy.py`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import fmean

from retouch.profiling.run import BICUBIC, Score

CREATIVE = "creative"


def policy_table(scores: Sequence[Score]) -> str:
    """TOML. Faithful gates order upscalers by PSNR, the others by LPIPS (by SSIM where that was not measured).

    What was not profiled is left out, and so keeps the server's default. A commerce asset never gets a creative upscaler.
    """
    overall = [score for score in scores if score.label == "all"]
    upscale = [score for score in overall if score.candidate.kind == "upscale" and score.candidate.name != BICUBIC]
    inpaint = [score for score in overall if score.candidate.kind == "inpaint"]
    lines = [f"# Written by `retouch profile` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from what is measured below."]
    lines += [f"# {_told(score)}" for score in overall]
    if methods := _ordered(upscale, _looks):
        lines += ["", "[upscale.low]", f"default = {_list(methods)}", 'allowed = ["*"]']
    if faithful := _ordered([s for s in upscale if s.candidate.method != CREATIVE], _fidelity):
        lines += ["", "[upscale.standard]", f"default = {_list(faithful)}", 'allowed = ["*"]']
        lines += ["", "[upscale.commerce]", f"default = {_list(faithful)}", f"allowed = {_list(faithful)}"]
    if methods := _ordered(inpaint, _looks):
        lines += ["", "[inpaint]", f"default = {_list(methods)}"]
    return "\n".join(lines) + "\n"


def _looks(score: Score) -> float:
    """Larger is better."""
    return score.ssim if score.lpips is None else -score.lpips


def _fidelity(score: Score) -> float:
    return score.psnr_db


def _ordered(scores: Sequence[Score], merit: Callable[[Score], float]) -> list[str]:
    """Methods, best first, each by the mean of its candidates; those without a method cannot stand in a table."""
    methods = {score.candidate.method for score in scores if score.candidate.method}
    return sorted(
        methods, key=lambda method: (-fmean(merit(score) for score in scores if score.candidate.method == method), method)
    )


def _told(score: Score) -> str:
    lpips = "not measured" if score.lpips is None else f"{score.lpips:.3f}"
    figures = f"PSNR {score.psnr_db:.2f} dB, SSIM {score.ssim:.4f}, LPIPS {lpips}, {score.seconds_per_mp:.2f} s/MP"
    return f"{score.candidate.kind} x{score.candidate.scale} {score.candidate.name}: {figures} over {score.pairs} pairs"


def _list(methods: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{method}"' for method in methods) + "]"
