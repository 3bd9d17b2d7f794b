"""How strong a finding is, by rules that are written here and printed beside every claim."""

from __future__ import annotations

from enum import StrEnum

from truing.stats.claims import Finding

ENOUGH_UPSTREAM = 3


class Label(StrEnum):
    """Strength of the evidence behind a verdict."""

    STRONG = "STRONG"
    MODERATE = "MODERATE"
    PRELIMINARY = "PRELIMINARY"
    NULL = "NULL"
    UNDECIDABLE = "UNDECIDABLE"


RULES = {
    Label.UNDECIDABLE: "neither the claim nor its opposite follows: a test is missing, or its interval reaches both ways",
    Label.PRELIMINARY: "fewer than 2 independent upstream runs, a protocol difference that somebody vouches for, or a verdict that another "
    "correction (Bonferroni, Holm, Benjamini-Hochberg) would change",
    Label.NULL: "the absence of an effect is shown: two one-sided tests put every difference within the declared margin",
    Label.MODERATE: f"it follows under every correction, from one metric only or from fewer than {ENOUGH_UPSTREAM} upstream runs",
    Label.STRONG: f"it follows under every correction, from {ENOUGH_UPSTREAM} or more upstream runs, and another claim of the study on "
    "another metric has the same conditions and the same verdict",
}


def label(finding: Finding, *, vouched: bool, supported: bool) -> Label:
    """The label of a finding; the first rule that applies, from the weakest evidence up.

    Args:
        finding: What the table says.
        vouched: Whether it stands on a protocol difference that was allowed.
        supported: Whether a second metric bears it out.
    """
    if finding.n_upstream < 2 and finding.tests:
        # What is true of one checkpoint is preliminary whichever way it points; without any value there is nothing at all.
        return Label.PRELIMINARY if any(test.diff is not None for test in finding.tests) else Label.UNDECIDABLE
    if finding.holds is None:
        return Label.UNDECIDABLE
    if finding.n_upstream < 2 or vouched or finding.depends:
        return Label.PRELIMINARY
    if finding.absence:
        return Label.NULL
    return Label.STRONG if supported and finding.n_upstream >= ENOUGH_UPSTREAM else Label.MODERATE
