"""Mean accuracy drop of every cell of a run: python trials.py results/reproduce/trials.parquet"""
import sys
import pandas as pd  # with pyarrow

trials = pd.read_parquet(sys.argv[1])
trials["drop"] = 100 * (trials.clean_correct.astype(float) - trials.correct) / trials.images
if "changed_probability" in trials:  # cells with conditional sampling
    trials["drop"] *= trials.changed_probability.fillna(1)
cells = trials.groupby(["model", "fault_model", "protection", "rate"], sort=False)["drop"]
print(cells.agg(["mean", "count"]).reset_index().to_csv(index=False), end="")
