"""A ladder of one's own: three levels on street numbers, each with the networks its kind of feature needs."""

from dataclasses import replace

import vlae
from vlae.recipes import lean

recipe = replace(
    lean((3, 32, 32)),
    name="own",
    levels=(
        # Colour and light: statistics of the whole picture, which no level above can see or set.
        vlae.MomentsLevel(code_size=6, convolutions=((32, 2),)),
        # Nothing of its own: a step of the networks without a code.
        vlae.Level(code_size=0, convolutions=((64, 2),)),
        # The rest, unrestricted.
        vlae.Level(code_size=10, convolutions=((128, 2),), dense=(256,)),
    ),
)

run = vlae.train("streets:5000", out="runs/own-levels", recipe=recipe, steps=300)
for level in run.summary["levels"]:
    print(f"level {level['level']}: {level['kl_nats']:.1f} nats, {level['active_units']} units active")
run.figure("levels").show()
