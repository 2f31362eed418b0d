#!/usr/bin/env python3
"""Makes the traces of clocks that no computer here has. Those of real ones are recorded by `test-clock --trace`."""
import json
import os
import random

FOUND, PULL = 12.3, 50.0


def trace(name, gain=1.0, base=0.0, wander=0.0, noise=100.0, held_up=0.0, runaway_ms=0.0):
    chance = random.Random(name)
    raw, ahead, samples = 71_234_000_000_000, 0.0, []
    start = raw
    for section, direction in enumerate((1, -1, -1, 1)):
        told = round(FOUND + direction * PULL, 1)
        for _ in range(28):
            elapsed = 15_600_000 + chance.randrange(6_000_000)
            raw += elapsed
            rate = base + gain * told + wander * (raw - start) / 1e9
            ahead += elapsed * rate * 1e-6
            late = chance.randrange(900_000) if chance.random() < held_up else 0
            system = 1_790_000_000_000_000_000 + raw - start + ahead + chance.gauss(0, noise) + late / 2
            coarse = 1_790_000_000_000_000_000 + raw - start + ahead - chance.randrange(15_625_000)
            coarse -= runaway_ms * 1e6 * (raw - start) / 2e9
            samples.append({
                "section": section, "commanded_ppm": told, "raw_ns": raw,
                "system_ns": int(system) // 100 * 100, "uncertainty_ns": 150 + late,
                "coarse_ns": int(coarse) // 100 * 100,
            })
    head = {"version": "0.1.0", "system": "windows", "call": "SetSystemTimeAdjustmentPrecise",
            "quantum_ppm": 0.1, "found_ppm": FOUND, "sign_known": False}
    with open(os.path.join(os.path.dirname(__file__), name + ".json"), "w") as file:
        json.dump(head | {"samples": samples}, file, separators=(",", ":"))
        file.write("\n")


trace("usual")
trace("inverted", gain=-1.0)
trace("gain", gain=1.5, base=-7.0)
trace("dead", gain=0.0)
trace("runs-away", base=5_200.0)
trace("two-clocks", runaway_ms=400.0)
trace("unsteady", wander=80.0)
trace("virtual-machine", noise=1_500.0, held_up=0.2)
