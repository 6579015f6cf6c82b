import colorsys

from ups.reports.palette import INKS, PAGE, RULE, RUNG_INKS, rung_styles
from ups.reports.run_folder import Rung


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colors_are_told_apart_by_their_code_alone():
    assert len({ink.light for ink in INKS}) == len({ink.name for ink in INKS}) == len(INKS)


def test_rungs_stand_out_from_both_pages():
    for ink in RUNG_INKS:
        assert contrast(ink.light, PAGE.light) > 2, ink
        assert contrast(ink.dark, PAGE.dark) > 3, ink
        assert contrast(ink.light, PAGE.light) > contrast(RULE.light, PAGE.light)


def test_hues_of_neighbouring_rungs_of_ours_differ():
    ours = [ink.light for ink in RUNG_INKS if ink.name.startswith("ours")]
    hues = [colorsys.rgb_to_hsv(*(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0] for c in ours]
    assert all(min(abs(a - b), 1 - abs(a - b)) > 0.05 for i, a in enumerate(hues) for b in hues[:i])


def test_a_rung_keeps_its_style_whatever_other_kinds_are_there():
    alone = rung_styles([Rung("a", "ours"), Rung("b", "ours")])
    among = rung_styles([Rung("p", "baseline"), Rung("a", "ours"), Rung("q", "baseline"), Rung("b", "ours")])
    assert alone["a"] == among["a"]
    assert alone["b"] == among["b"]
    assert among["a"] != among["b"]
    assert among["p"].dash != among["a"].dash


def test_more_rungs_than_colors_and_unknown_kinds_still_have_a_style():
    assert len(rung_styles([Rung(str(i), "baseline") for i in range(9)] + [Rung("x", "strange")])) == 10


def test_two_references_are_told_apart():
    styles = rung_styles([Rung("perfect ensemble", "reference", 16), Rung("codec ceiling", "reference")])
    assert styles["perfect ensemble"].ink != styles["codec ceiling"].ink
