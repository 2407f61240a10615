"""Campaigns from Python: an experiment whose networks, images and evaluator are Python objects."""

from __future__ import annotations

import hashlib
import inspect
import json
import operator
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from zerospace._evaluate import ArrayWeights, Evaluator, ReadWeights
from zerospace._progress import reporter
from zerospace._protection import Protection, id_of, is_own
from zerospace._zerospace import Campaign, CodeMap, LinearCode, Network, checkpoint_tensors, network_tensors, open_run


def run(
    networks: Mapping[str, Any],
    protections: Iterable[Any],
    rates: Iterable[float],
    trials: int,
    *,
    evaluator: Callable[..., Any] | None = None,
    metrics: Mapping[str, str] | None = None,
    name: str | None = None,
    version: str = "0",
    images: Any = None,
    labels: Any = None,
    image_count: int | None = None,
    images_per_trial: int | None = None,
    data: str | os.PathLike[str] = "data",
    title: str | None = None,
    fault_model: str | Iterable[str] = "bernoulli",
    sweep: Iterable[str] = (),
    trials_of: str = "all",
    stop: Mapping[str, float] | None = None,
    seed: int = 1,
    unit_trials: int = 10,
    out: str | os.PathLike[str] | None = None,
    shard: str | None = None,
    progress: bool | Callable[[int, int, str], None] = True,
) -> Any:
    """Run a campaign: every network under every protection at every bit error rate, ``trials`` times each.

    The trials, records, statistics and report are those of ``zerospace run``. Finished trials are in the directory ``out``
    (default ``runs/NAME``) at once: after an exception, Ctrl-C or a kill, the same call computes what is missing.
    A larger number of trials extends a run.

    ``networks`` maps labels to a :class:`Network`, a path of an int8 checkpoint, a mapping from names to int8 arrays, or a
    ``torch.nn.Module`` or ``zerospace.torch.QuantizedModule``. ``protections`` are ids, or protections of your own: a
    :class:`Protection`, a :class:`LinearCode` or a :class:`CodeMap`.

    **With an evaluator.** ``evaluator(weights, trial)`` is called for each trial in which a weight changed, and once without
    faults, with ``trial=None``. It returns a number, a dict of numbers, or an array of class predictions. It gets

    - for a mapping of int8 arrays: a dict of these arrays as the trial reads them (int8);
    - for a ``Network`` or a checkpoint: a dict of the weights as the trial reads them, dequantized (float32);
    - for a torch module: the module, with the weights of the trial written in (see ``zerospace.torch``).

    Arrays cannot be written to, and have the values of another trial after the call: copy what you keep. ``metrics`` maps
    the names of scores to ``"higher"`` or ``"lower"``, whichever is better; the first is the headline. Without it all scores are
    better when higher. Predictions are compared with ``labels``; without labels, with the fault-free predictions.
    ``name`` (default: the function's qualified name), ``version`` and a hash of the fault-free outputs identify the evaluator: raise
    the version when its results change. Each call of ``run`` evaluates a trial of each network twice, and says in
    ``run.deterministic`` whether the results were equal. Scores that vary from process to process should be rounded.

    **Without an evaluator** the exact int8 executor classifies ``images``: an array of uint8 ``(n, channels, height, width)``
    with ``labels``, or the name of a data set in the folder ``data`` such as ``"cifar10"`` or ``"synthetic"``, of which the first
    ``image_count`` test images are taken.

    **Images drawn per trial.** With ``images_per_trial=M`` each trial sees M of the images, another block in each trial, and the
    estimates are of the drop on all images. An evaluator then returns predictions, and is called as ``evaluator(weights, trial, images)``:
    ``images`` are the indices of the M images whose classes it returns, in order, or ``None`` for all images.

    ``fault_model``, ``sweep``, ``trials_of``, ``stop`` (``{"failures": 10, "drop_points": 5.0}`` or ``{"half_width": 0.5}``),
    ``seed`` and ``unit_trials`` mean what they mean in an experiment file. ``shard="0/4"`` computes one of four shares; the call that finishes the
    last share merges them. ``progress`` is true for a bar in terminals and a line in notebooks, or a function of the number of
    finished trials, the number of all trials, and a label.

    Returns the run as ``open_run`` does; ``None`` while other shards are missing.

    >>> import numpy as np, tempfile
    >>> weights = {"fc": np.arange(-60, 68, dtype=np.int8).reshape(8, 16)}
    >>> clean = weights["fc"].astype(int)
    >>> def error(weights, trial):
    ...     return float(abs(weights["fc"] - clean).sum())
    >>> run = zerospace.run({"small": weights}, ["faulty", "secded-72-64"], [1e-3], 20, evaluator=error,
    ...                     metrics={"error": "lower"}, out=tempfile.mkdtemp(), progress=False)
    >>> len(run.trials().to_dict()["model"])
    40

    An exception of the evaluator ends the call, with a note that names network, protection, rate and trial. Raises ``TypeError`` or
    ``ValueError`` for wrong arguments and for wrong results of the evaluator, ``OtherPlanError`` if ``out`` holds another
    campaign.
    """
    campaign, root, evaluators = _campaign(
        networks=networks,
        protections=protections,
        rates=rates,
        trials=trials,
        evaluator=evaluator,
        metrics=metrics,
        name=name,
        version=version,
        images=images,
        labels=labels,
        image_count=image_count,
        images_per_trial=images_per_trial,
        data=data,
        title=title,
        fault_model=fault_model,
        sweep=sweep,
        trials_of=trials_of,
        stop=stop,
        seed=seed,
        unit_trials=unit_trials,
        out=out,
    )
    report = reporter(progress)
    try:
        _, _, merged, remarks = campaign.run(root, shard, report)
    finally:
        if report is not None and hasattr(report, "close"):
            report.close()
    for evaluator in evaluators:
        evaluator.weights.check()
    for remark in remarks:
        if "warning: " in remark:
            warnings.warn(remark.replace("warning: ", ""), stacklevel=2)
    return open_run(root) if merged else None


def verify(
    directory: str | os.PathLike[str],
    networks: Mapping[str, Any],
    *,
    evaluator: Callable[..., Any] | None = None,
    images: Any = None,
    labels: Any = None,
    data: str | os.PathLike[str] = "data",
    trials: int = 2,
    protections: Iterable[Any] = (),
) -> int:
    """Recompute the first ``trials`` trials of every cell of a run of :func:`run` and compare the records.

    ``networks``, ``evaluator``, ``images`` and ``labels`` are those of the run; ``protections`` are those of your own that it has, if
    they are not registered yet. Returns the number of compared trials.

    Raises ``VerificationError`` if a record differs, and ``OtherPlanError`` if the networks or the fault-free outputs do.
    """
    campaign = _stored_campaign(Path(directory), networks, evaluator, images, labels, data, protections)
    return campaign.verify(Path(directory), trials)


def replay(
    directory: str | os.PathLike[str],
    networks: Mapping[str, Any],
    cell: str,
    trial: int,
    *,
    evaluator: Callable[..., Any] | None = None,
    images: Any = None,
    labels: Any = None,
    data: str | os.PathLike[str] = "data",
    protections: Iterable[Any] = (),
    format: str = "text",
) -> Any:
    """Recompute one trial of a run of :func:`run`, flip by flip and word by word, and compare its record with the stored one.

    ``cell`` is the cell's id, which ``trials()`` and the report have, or its first digits. ``networks`` and the others are those of the
    run, as for :func:`verify`. Returns what ``zerospace replay`` prints: its tables (``format="text"``), or the dict of its
    JSON document (``format="json"``).

    Raises ``VerificationError`` if the stored record is another, ``ValueError`` for an unknown cell, and ``OtherPlanError`` if the networks
    or the fault-free outputs differ.
    """
    if format not in ("text", "json"):
        raise ValueError(f"format is {format!r}, expected \"text\" or \"json\"")
    campaign = _stored_campaign(Path(directory), networks, evaluator, images, labels, data, protections)
    text, document = campaign.replay(Path(directory), cell, _whole("trial", trial))
    return text if format == "text" else json.loads(document)


def _stored_campaign(root, networks, evaluator, images, labels, data, protections):
    """The campaign of a run directory, with the objects of the user that it needs."""
    for protection in protections:
        id_of(protection)
    source = (root / "experiment.toml").read_text(encoding="utf-8")
    expected = _stored_labels(source)
    if not isinstance(networks, Mapping) or list(networks) != expected:
        found = list(networks) if isinstance(networks, Mapping) else _shown(networks)
        raise ValueError(f"networks is {found}, expected a mapping from {expected} to the networks of the run, in this order")
    if evaluator is None and re.search(r"^\[evaluator\]$", source, re.MULTILINE):
        raise TypeError("evaluator is absent, expected the evaluator of the run")
    weights = _weights(networks, evaluator is not None)
    own = None
    if evaluator is not None:
        per_trial = _stored_images_per_trial(source)
        own = [Evaluator(evaluator, weights[label], _stored_metrics(source), labels, per_trial) for label in networks]
        images = None
        for label, one in zip(networks, own):
            one.fault_free(label)
    given = _unseen(own, labels) if own else _images(images, labels)
    return Campaign(source, root, [weights[label].source for label in networks], own, given, Path(data), [])


def _campaign(*, networks, protections, rates, trials, evaluator, metrics, name, version, images, labels, image_count,
              images_per_trial, data, title, fault_model, sweep, trials_of, stop, seed, unit_trials, out):
    if not isinstance(networks, Mapping) or not networks:
        raise TypeError(f"networks is {_shown(networks)}, expected a mapping from labels to networks, with at least one")
    if evaluator is not None and not callable(evaluator):
        raise TypeError(f"evaluator is of type {type(evaluator).__name__}, expected a callable of weights and trial")
    protections = [protections] if isinstance(protections, (str, type, Protection, LinearCode, CodeMap)) else protections
    protections = [id_of(protection) for protection in protections]
    evaluator_name = _name(evaluator, name)
    root = Path("runs") / evaluator_name if out is None else Path(out)
    weights = _weights(networks, evaluator is not None)
    evaluators, given = [], None
    if evaluator is None:
        if metrics is not None:
            raise ValueError("metrics is given without an evaluator, expected both or neither")
        given = _images(images, labels)
        section = {"set": images if isinstance(images, str) else "arrays", "split": "test", "images": image_count}
    else:
        if images is not None or image_count is not None:
            raise ValueError("images are given with an evaluator, which has data of its own, expected none")
        evaluators = [Evaluator(evaluator, weights[label], metrics, labels, images_per_trial) for label in networks]
        for label, one in zip(networks, evaluators):
            _fault_free(one, label, root)
        if len({one.kind for one in evaluators}) > 1:
            raise ValueError("the evaluator returns other metrics for one network than for another, expected the same")
        given = _unseen(evaluators, labels)
        section = given and {"set": "arrays", "split": "test", "images": given[0]}
    if images_per_trial is not None:
        if section is None:
            raise ValueError("images_per_trial is given, but the evaluator returns scores, expected an array of class predictions")
        section["images_per_trial"] = _whole("images_per_trial", images_per_trial)
    source = _experiment(
        evaluator=evaluator,
        section=section,
        evaluator_name=evaluator_name,
        version=version,
        metrics=evaluators[0].metrics if evaluators else {},
        name=re.sub(r"[^A-Za-z0-9_.-]+", "-", root.name).strip(".-") or "run",
        title=title if title is not None else f"{', '.join(map(str, networks))}: {evaluator_name}",
        labels=list(networks),
        protections=protections,
        rates=rates,
        trials=trials,
        fault_model=fault_model,
        sweep=sweep,
        trials_of=trials_of,
        stop=stop,
        seed=seed,
        unit_trials=unit_trials,
    )
    if evaluator is not None:
        _tell_of_changed_source(root, source)
    sources = [weights[label].source for label in networks]
    objects = {
        "evaluator": evaluator is not None,
        "images": evaluator is None and not isinstance(images, str),
        "labels": labels is not None,
        "protections": any(map(is_own, protections)),
    }
    objects = [name for name, is_object in objects.items() if is_object]
    return Campaign(source, root, sources, evaluators or None, given, Path(data), objects), root, evaluators


def _shown(value):
    return "empty" if isinstance(value, Mapping) else f"of type {type(value).__name__}"


def _name(evaluator, name):
    """The evaluator's name: letters, digits, ``-``, ``_`` and ``.``."""
    if name is not None:
        return name
    if evaluator is None:
        return "int8"
    qualified = getattr(evaluator, "__qualname__", type(evaluator).__qualname__)
    return re.sub(r"[^A-Za-z0-9_.-]+", "", qualified.replace("<locals>.", "")).strip(".-") or "evaluator"


def _weights(networks, own):
    """The weights of each network, as an evaluator reads them."""
    weights = {}
    for label, network in networks.items():
        if not isinstance(label, str):
            raise TypeError(f"a label in networks is {label!r}, expected a string")
        weights[label] = _weights_of(label, network, own)
    return weights


def _weights_of(label, network, own):
    torch = sys.modules.get("torch")
    if torch is not None:
        from zerospace import torch as ours

        if isinstance(network, torch.nn.Module):
            network = ours.QuantizedModule(network)
        if isinstance(network, ours.QuantizedModule):
            if own:
                return network
            raise TypeError(
                f"networks[{label!r}] is a torch module, which needs an evaluator; zerospace.quantize makes a network of it that "
                "the int8 executor runs"
            )
    if isinstance(network, Network):
        return ReadWeights(network) if not own else ArrayWeights.dequantized(network_tensors(network), network)
    if isinstance(network, (str, os.PathLike)):
        path = Path(network)
        return ReadWeights(path) if not own else ArrayWeights.dequantized(checkpoint_tensors(path), path)
    if isinstance(network, Mapping):
        if own:
            return ArrayWeights.int8(label, network)
        raise TypeError(f"networks[{label!r}] is a mapping of arrays, which needs an evaluator: it has no layers")
    raise TypeError(
        f"networks[{label!r}] is of type {type(network).__name__}, expected a Network, a path, a mapping from names to int8 arrays, "
        "or a torch module"
    )


def _images(images, labels):
    """Images in memory as the extension takes them; nothing for the name of a data set."""
    if images is None:
        raise TypeError("images is absent, expected an array of images or the name of a data set, or an evaluator")
    if isinstance(images, str):
        if labels is not None:
            raise ValueError("labels are given with a data set, which has its own, expected none")
        return None
    import numpy as np

    array = _on_cpu(images)
    if array.dtype != np.uint8:
        raise TypeError(f"images have dtype {array.dtype}, expected uint8: pixels from 0 to 255, before any normalization")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape or max(array.shape[2:]) > 4096:
        raise ValueError(f"images have shape {array.shape}, expected (n, channels, height, width) with 1 or 3 channels")
    classes = _labels(labels, len(array))
    return (list(array.shape), array.tobytes(), classes or [], max(classes, default=0) + 1 if classes else 0)


def _labels(labels, count):
    if labels is None:
        return None
    array = _on_cpu(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"labels have dtype {array.dtype} and shape {array.shape}, expected integers of shape (n,)")
    if len(array) != count:
        raise ValueError(f"there are {len(array)} labels, expected one for each of {count} images")
    if len(array) and not (0 <= int(array.min()) and int(array.max()) < 65536):
        raise ValueError(f"labels are from {array.min()} to {array.max()}, expected 0 to 65535")
    return array.tolist()


def _on_cpu(array):
    import numpy as np

    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def _unseen(evaluators, labels):
    """The images of evaluators that return predictions: their number and labels."""
    if evaluators[0].kind != "predictions":
        if labels is not None:
            raise ValueError("labels are given, but the evaluator returns scores, expected an array of class predictions")
        return None
    count = evaluators[0].count
    return (count, _labels(labels, count))


def _fault_free(evaluator, label, root):
    """Evaluate without faults. A run that was found nondeterministic keeps its first scores."""
    evaluator.fault_free(label)
    try:
        found = json.loads((root / "determinism.json").read_text(encoding="utf-8"))
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if found.get("deterministic") is False:
        for network in manifest.get("networks", []):
            if network.get("label") == label and len(network.get("clean_scores", [])) == len(evaluator.metrics):
                evaluator.clean = network["clean_scores"] or evaluator.clean


def _experiment(*, evaluator, section, evaluator_name, version, metrics, name, title, labels, protections, rates, trials,
                fault_model, sweep, trials_of, stop, seed, unit_trials):
    """The text of the experiment file."""
    models = [fault_model] if isinstance(fault_model, str) else list(fault_model)
    sweep = [sweep] if isinstance(sweep, str) else list(sweep)
    lines = ["# Written by zerospace.run of the Python package."]
    if evaluator is not None:
        lines.append(_source_line(evaluator))
    lines += [
        f"name = {_toml(name)}",
        f"title = {_toml(title)}",
        f"seed = {_whole('seed', seed)}",
        f"trials = {_whole('trials', trials)}",
        f"unit_trials = {_whole('unit_trials', unit_trials)}",
        f"trials_of = {_toml(trials_of)}",
        f"fault_model = {_toml(models)}",
        f"sweep = {_toml(sweep)}",
        f"rates = {_toml([float(rate) for rate in ([rates] if isinstance(rates, (int, float)) else rates)])}",
        f"protections = {_toml(protections)}",
    ]
    for label in labels:
        lines += ["", "[[model]]", f"label = {_toml(label)}", f"checkpoint = {_toml(f'networks/{label}.safetensors')}"]
    if section:
        lines += ["", "[data]", *(f"{key} = {_toml(value)}" for key, value in section.items() if value is not None)]
    if stop is not None:
        lines += ["", "[stop]", *(f"{key} = {_toml(value)}" for key, value in stop.items())]
    if evaluator is not None:
        lines += ["", "[evaluator]", f"name = {_toml(evaluator_name)}", f"version = {_toml(str(version))}"]
        for metric, better in metrics.items():
            lines += ["", "[[evaluator.metrics]]", f"name = {_toml(metric)}", f"better = {_toml(better)}"]
    return "\n".join(lines) + "\n"


def _whole(name, value):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected a whole number") from None


def _toml(value):
    """A value of TOML, which JSON's strings, numbers and lists are."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"a setting is {value!r}, of type {type(value).__name__}, expected a string or a number")
    return json.dumps(value, ensure_ascii=False)


_SOURCE = "# SHA-256 of the evaluator's source: "


def _source_line(evaluator):
    try:
        source = inspect.getsource(evaluator if hasattr(evaluator, "__code__") else type(evaluator))
    except (OSError, TypeError):
        return f"{_SOURCE}unknown"
    return _SOURCE + hashlib.sha256(source.encode()).hexdigest()


def _tell_of_changed_source(root, source):
    """Warn if a run is resumed with an evaluator whose source has changed under the same version."""
    try:
        before = (root / "experiment.toml").read_text(encoding="utf-8")
    except OSError:
        return
    was, now = (re.search(f"^{_SOURCE}.*$", text, re.MULTILINE) for text in (before, source))
    if was and now and was.group() != now.group():
        warnings.warn(
            f"the evaluator's source has changed since {root} was begun: raise its version if its results have changed too",
            stacklevel=4,
        )


def _stored_labels(source):
    """The labels of the networks of an experiment file that :func:`run` wrote."""
    return [json.loads(label) for label in re.findall(r'^\[\[model\]\]\nlabel = (".*")$', source, re.MULTILINE)]


def _stored_images_per_trial(source):
    """The number of images of a trial in an experiment file that :func:`run` wrote; nothing if trials see all."""
    found = re.search(r"^images_per_trial = (\d+)$", source, re.MULTILINE)
    return found and int(found[1])


def _stored_metrics(source):
    """The metrics of an experiment file that :func:`run` wrote; nothing for predictions."""
    pairs = re.findall(r'^\[\[evaluator\.metrics\]\]\nname = (".*")\nbetter = (".*")$', source, re.MULTILINE)
    return {json.loads(name): json.loads(better) for name, better in pairs} or None
