"""A notebook in a script: how far does each optimizer get, and how sure are we?

Run it as it is, or cell by cell in an editor that knows `# %%`.
"""

# %% The suite: what the paper compares
import matplotlib.pyplot as plt

import retable
from retable.bench.judging.stats import difference
from retable.bench.judging.verdicts import judge_all

file = retable.load_suite("optimizers")
print(file.suite.paper.title)
for name, experiment in file.suite.experiments.items():
    print(f"  {name}: {experiment.about}")

# %% Train: what is done already is not run again
result = retable.run(file, where="experiment=defaults,optimizer=adam|rprop")
print(f"{len(result.trials) - len(result.failed)} of {len(result.trials)} trials are done")

# %% Results as a tidy frame: a row a trial, settings and metrics as columns
results = retable.results(file)
done = results.trials.query("experiment == 'defaults' and state == 'finished'")
print(done.pivot_table(index="optimizer", columns="seed", values="loss/final"))

# %% A difference with its interval: paired, since both were trained with the same seeds
losses = {name: dict(zip(own["seed"], own["loss/final"], strict=True)) for name, own in done.groupby("optimizer")}
gap = difference(losses["rprop"], losses["adam"])
print(f"rprop above adam by {gap.mean:.3g} [{gap.low:.3g}, {gap.high:.3g}], {gap.n} seeds, paired: {gap.paired}")

# %% Curves
figure, axes = plt.subplots(figsize=(7, 4))
for name, own in done.groupby("optimizer"):
    curve = results.curves(list(own["run_id"]), "loss/total").groupby("step")["value"].mean()
    axes.plot(curve.index, curve, label=name)
axes.set(xlabel="step", ylabel="loss", yscale="log")
axes.legend(frameon=False)
figure.savefig("optimizers.png", dpi=150, bbox_inches="tight")

# %% What our runs say of the paper's claims
for verdict in judge_all(results):
    print(f"{verdict.label:<16} {verdict.claim.quote}")

# %% The report
print(retable.report(file, formats=("md", "html")))
