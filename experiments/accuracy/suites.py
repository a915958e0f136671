"""What each suite trains: one deployed model and units of redundancy for it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is added to a group of k queries: an extra task, or r of them."""

    scheme: str
    k: int
    epochs: int = 0  # none: the deployed model itself is packed
    r: int = 1  # parity models
    # Of a model to pack through; None: the scheme's own network.
    work_fraction: float | None = None
    half: bool = False  # convolutions in BF16
    arch: str = ""  # of a parity network; the deployed one's unless given
    recipe: str = ""  # in recipes/; the suite's unless given
    # The unit, earlier in the suite, whose weights training starts from; the
    # deployed model's unless given.
    start: str = ""
    kind: str = ""  # tells units of one scheme and k apart
    label: str = ""  # in tables
    seeds: tuple = (1,)

    @property
    def name(self):
        """With "narrow" for a pack through a narrower model."""
        narrow = "narrow" if self.work_fraction else self.scheme
        return f"{self.kind or narrow}{self.k}"

    def bundle(self, seed):
        return f"{self.name}-seed{seed}"

    def backup(self, seed):
        """The bundle of the model to pack through, which knows no k."""
        return f"backup{self.work_fraction}-seed{seed}"

    def trained(self, seed):
        """The bundle that training makes, if there is any."""
        return self.backup(seed) if self.work_fraction else self.bundle(seed)

    def started_from(self, seed):
        """The bundle whose weights training starts from; None: the deployed."""
        return f"{self.start}-seed{seed}" if self.start else None


@dataclasses.dataclass(frozen=True)
class Suite:
    dataset: str
    # As parm-train's --data takes it; empty: made of files that PARM_FILES
    # names.
    default_data: str
    arch: str
    deployed_seed: int
    deployed_epochs: int  # none: published weights, of PARM_FILES too
    recipes: dict  # deployed, parity, backup -> file in recipes/
    units: tuple
    published: dict  # k -> (ParM's A_d with the sum code, its A_a)
    published_epochs: int  # after which that was
    training_free: tuple  # k of the codes without a parity model, S = 1
    # What is aimed for: (name, whether a unit counts, k -> greatest drop).
    targets: tuple


# Schemes whose parity model may do the work of one query.
_PROPER = ("sum", "concat", "tile", "stack")
# Of units that train for less than ten minutes on the machine of the results.
_TWO = (1, 2)
# Service times of one query that an "any unit" may cost as measured: 1, and
# the noise of the measurement.
_MAX_COST = 1.1


def _is_proper(scheme, relative_cost):
    return scheme in _PROPER and _costs_one_query(scheme, relative_cost)


def _costs_one_query(_scheme, relative_cost):
    return relative_cost <= _MAX_COST


def _is_sum(scheme, _relative_cost):
    return scheme == "sum"


SUITES = {
    "fashion": Suite(
        dataset="fashion-mnist",
        default_data="idx:/usr/share/datasets/fashion-mnist",
        arch="cnn",
        deployed_seed=1,
        deployed_epochs=14,
        recipes={"deployed": "fashion_deployed.yaml",
                 "parity": "fashion_parity.yaml",
                 "backup": "fashion_narrow.yaml"},
        # An epoch of parity training is one of groups: 1/k of the work of an
        # epoch of the deployed model. None but sums trains longer than three
        # times what the deployed model did.
        units=(
            *(Unit("pack", k, half=True, kind="half",
                   label="`pack`, the deployed model in BF16")
              for k in (2, 3, 4)),
            # What BF16 saves pays for two layers more. Groups of a sum are new
            # in every epoch, so that nothing need be augmented, and stored
            # answers are right. For three, 84 epochs from weights that tell
            # two apart reach what 110 from the deployed model's do.
            *(Unit("sum", k, epochs, recipe="fashion_sum.yaml", arch="cnn7",
                   half=True, start=start,
                   label="`sum`, a `cnn7` in BF16" + origin)
              for k, epochs, start, origin in (
                  (2, 44, "", ""), (3, 84, "sum2", ", from k = 2"),
                  (4, 160, "sum3", ", from k = 3"))),
            Unit("tile", 2, 30, arch="cnn7", half=True, kind="deep-tile",
                 label="`tile`, a `cnn7` in BF16"),
            *(Unit("tile", k, 28, arch="cnn7", half=True, seeds=_TWO,
                   kind="deep-tile", label="`tile`, a `cnn7` in BF16")
              for k in (3, 4)),
            *(Unit("tile", k, epochs, seeds=_TWO)
              for k, epochs in ((2, 12), (3, 16), (4, 20))),
            Unit("weighted", 4, 12, r=2, recipe="fashion_weighted.yaml",
                 seeds=_TWO),
            *(Unit(scheme, k, epochs, seeds=_TWO)
              for k, epochs in ((2, 8), (4, 12))
              for scheme in ("concat", "stack")),
            *(Unit("pack", k, 12, work_fraction=fraction, seeds=_TWO)
              for k, fraction in ((2, 0.5), (3, 0.33), (4, 0.25))),
        ),
        # Kosaian et al., SOSP'19, figure 5: ResNet-18, 500 epochs.
        published={2: (0.911, 0.929), 3: (0.879, 0.929), 4: (0.842, 0.929)},
        published_epochs=500,
        training_free=(4, 8),
        targets=(
            ("parity proper", _is_proper, {2: 0.007, 3: 0.012, 4: 0.016}),
            ("any unit", _costs_one_query, {2: 0.005, 3: 0.007, 4: 0.009}),
            ("sum only", _is_sum, {2: 0.025, 3: 0.06, 4: 0.10}),
        ),
    ),
    # 25,000 training pictures; what is deployed has seen all 50,000.
    "cifar10": Suite(
        dataset="cifar10",
        default_data="",
        arch="resnet20",
        deployed_seed=1,
        deployed_epochs=0,
        recipes={"parity": "cifar10_fine.yaml"},
        units=(
            *(Unit("pack", k, half=True, kind="half",
                   label="`pack`, the deployed model in BF16")
              for k in (2, 4)),
            *(Unit("tile", k, epochs, half=True, kind="fine", seeds=seeds,
                   label="`tile`, resolution kept, BF16")
              for k, epochs, seeds in ((2, 18, (1,)), (4, 6, _TWO))),
        ),
        # The same, figures 5 and 6: ResNet-18, 1000 epochs.
        published={2: (0.887, 0.935), 3: (0.739, 0.935), 4: (0.529, 0.935)},
        published_epochs=1000,
        training_free=(),
        # From an A_a of 92.2 %: A_d of 89 and 84.5 %, 90 and 87 %.
        targets=(
            ("parity proper", _is_proper, {2: 0.032, 4: 0.077}),
            ("any unit", _costs_one_query, {2: 0.022, 4: 0.052}),
        ),
    ),
}
