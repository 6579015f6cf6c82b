"""How often studies are wrong: simulated results of known truth, judged as `ups study` judges them.

    python benchmarks/false_verdicts.py [STUDIES]

Errors are (how hard the trajectory is) x (the luck of the training) x (the luck of both); identical trainings lie as
far apart as in the reports that this project starts from (.083 to .125, a deviation of the logarithm of .17).
Prints, for families of variants of which none does anything, the share of studies with any verdict (stated: at most
5 %) and the coverage of the 95 % interval of one variant; and, for one real effect among them, how often it is found
with the seeds that `seeds_needed` asks for (stated: 80 %).
"""

import sys

import numpy as np

from ups.statistics.bootstrap import paired_bootstrap, paired_level
from ups.statistics.families import holm_levels, seeds_needed
from ups.studies.verdicts import effect_by_seed

BETWEEN, WITHIN, NUM_TRAJECTORIES = 0.17, 0.2, 30
RESAMPLES = 2000


def results(rng, num_seeds, effects):
    """Return the errors of the base and of a variant for each effect, [seed, trajectory]."""
    hard = rng.gamma(4.0, 0.25, NUM_TRAJECTORIES)

    def runs():
        luck = np.exp(BETWEEN * rng.normal(size=(num_seeds, 1)))
        return hard * luck * np.exp(WITHIN * rng.normal(size=(num_seeds, NUM_TRAJECTORIES)))

    return runs(), [(1.0 - effect) * runs() for effect in effects]


def verdicts(base, variants):
    """Return whether each variant gets a verdict."""
    p_values = [paired_level(variant, base, RESAMPLES) for variant in variants]
    return [p <= level for p, level in zip(p_values, holm_levels(p_values, 0.05), strict=True)]


def main(num_studies: int = 1000) -> None:
    """Print the shares."""
    rng = np.random.default_rng(0)
    for num_seeds in (3, 5, 8):
        for num_variants in (1, 4):
            wrong, covered = 0, 0
            for _ in range(num_studies):
                base, variants = results(rng, num_seeds, [0.0] * num_variants)
                wrong += any(verdicts(base, variants))
                interval = paired_bootstrap(variants[0], base, RESAMPLES)
                covered += interval.low <= 0.0 <= interval.high
            print(
                f"{num_seeds} seeds, {num_variants} variants without effect: {wrong / num_studies:.1%} of studies "
                f"with a false verdict, coverage {covered / num_studies:.1%}",
                flush=True,
            )
    for effect in (0.2, 0.3, 0.4):
        pilot, (variant,) = results(rng, 200, [effect])
        number = seeds_needed(effect_by_seed(variant, pilot, True), effect)
        found = np.mean([
            verdicts(base, variants)[0]
            for base, variants in (results(rng, number, [effect]) for _ in range(num_studies))
        ])
        print(f"an effect of {effect:.0%} alone: {number} seeds, found in {found:.1%} of studies", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
