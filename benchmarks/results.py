"""Put the figures of result files into a Markdown document, between its markers.

So the document can't say anything else than the files. These say what they were measured on, and at
which commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spacy_spanmed.util.files import write_atomically

from .ablation import mean_and_deviation, summarise

START, END = "<!-- results: start -->", "<!-- results: end -->"

# What the tables call each file, in their order
TAGGERS = {
    "baseline_dictionary.json": "dictionary",
    "baseline_stock.json": "stock `transformer` + `ner`",
    "test.json": "**`en_spanmed`**",
}
# Also in folders seed*, of other seeds, and with _dev: on the development set
BENCHMARKS = {"bc5cdr": "BC5CDR", "biored": "BioRED"}
PRETRAINED = {
    "pretraining_head_only.json": "only the fresh heads trained",
    "pretraining.json": "**encoder and heads trained**",
}
DOMAIN = {"domain.json": "**after the run**"}
SPEEDS = {
    "inference.json": "inference",
    "bench_train.json": "train",
    "bench_pretrain.json": "pretrain",
    # The losses may take hours: a run of their own
    "bench_pretrain_losses.json": "losses",
}
# Folders of the benchmarks' results, by the encoder
ENCODERS = {"plain": "plain", "continued on medical papers": "domain"}
COMPARISONS = {
    "ablation.json": "Settings of the pipes, on dev",
    "ablation_nero.json": "How much the relations' gradient counts in the encoder, on NERO's dev set",
}
SCORES = {
    "entities": "ents_f",
    "relations between gold entities": "rel_gold_micro_f",
    "relations end to end": "rel_micro_f",
}
ERRORS = {
    "entities": "ents_ece",
    "relations between gold entities": "rel_gold_ece",
    "relations end to end (as calibrated)": "rel_ece",
}


def update_document(document: Path, metrics: Path) -> bool:
    """Replace what stands between the markers by tables of the result files.

    document (Path): Markdown file with a line START and a line END.
    metrics (Path): Folder with the JSON files; those that are missing are left out.
    RETURNS (bool): Whether the document changed.
    RAISES (ValueError): If a marker or the file of the main result is missing.
    """
    text = document.read_text(encoding="utf8")
    if START not in text or END not in text:
        raise ValueError(f"{document} lacks the line {START!r} or {END!r}.")
    before, rest = text.split(START, 1)
    after = rest.split(END, 1)[1]
    updated = f"{before}{START}\n\n{make_tables(metrics)}\n{END}{after}"
    if updated == text:
        return False
    write_atomically(document, updated.encode("utf8"))
    return True


def make_tables(metrics: Path) -> str:
    """RETURNS (str): Markdown: comparison, entities and relations per label, benchmarks,
    pretraining, comparisons of variants."""
    taggers = _read(metrics, TAGGERS)
    if TAGGERS["test.json"] not in taggers:
        raise ValueError(f"No {metrics / 'test.json'}: run `spacy project run evaluate` first.")
    ours = taggers[TAGGERS["test.json"]]
    parts = [_origin(ours), _compare(taggers), _entities(taggers), _relations(taggers)]
    for file, title in BENCHMARKS.items():
        runs = _read_seeds(metrics, f"{file}.json")
        if runs:
            parts.append(_benchmark(title, runs, _read_seeds(metrics, f"{file}_dev.json")))
    pretrained = _read(metrics, PRETRAINED)
    if pretrained:
        commands = "`spacy project run pretrain` and `baseline-head`"
        parts.append(f"NERO's text ({commands}). {_pretraining(pretrained)}")
    for record in _read(metrics, DOMAIN).values():
        parts.append(f"{_domain(record)} {_pretraining({DOMAIN['domain.json']: record})}")
        if (metrics / "domain.svg").is_file():
            parts.append(f"![Losses of the domain run]({metrics.name}/domain.svg)")
    parts.append(_encoders(metrics))
    for file, title in COMPARISONS.items():
        for comparison in _read(metrics, {file: title}).values():
            parts.append(_comparison(title, file, comparison))
    speeds = _read(metrics, SPEEDS)
    if "inference" in speeds:
        parts.append(_inference(speeds["inference"]))
    if "train" in speeds:
        parts.append(_bench_train(speeds["train"]))
    if "pretrain" in speeds:
        parts.append(_bench_pretrain(speeds["pretrain"]))
    for record in (speeds.get("pretrain", {}), speeds.get("losses", {})):
        if record.get("losses"):
            parts.append(_bench_losses(record))
    return "\n\n".join(part for part in parts if part) + "\n"


def _read(folder: Path, names: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    for file, title in names.items():
        if (folder / file).is_file():
            found[title] = json.loads((folder / file).read_text(encoding="utf8"))
    return found


def _origin(scores: dict[str, Any]) -> str:
    meta = scores["meta"]
    return (
        f"Test set: {scores['ents_docs']:,} sentences with entities, {scores['rel_docs']:,} with "
        f"relations. Measured {meta['date'][:10]}, seed {meta['seed']}, commit "
        f"`{(meta['commit'] or 'none')[:10]}`."
    )


def _compare(taggers: dict[str, dict[str, Any]]) -> str:
    rows = [
        ("Entities, micro F1", "ents_f"),
        ("Entities, macro F1", "ents_macro_f"),
        ("Entities, boundaries alone", "ents_boundary_f"),
        ("Gold mentions lost by tokenization", "ents_gold_inexpressible"),
        ("Relations between gold entities, micro F1", "rel_gold_micro_f"),
        ("  without {majority}", "rel_gold_minority_micro_f"),
        ("  macro F1", "rel_gold_macro_f"),
        ("  negation right, where the relation is", "rel_gold_negation_accuracy"),
        ("Relations end to end, micro F1", "rel_micro_f"),
        ("  without {majority}", "rel_minority_micro_f"),
        ("  macro F1", "rel_macro_f"),
    ]
    majority = taggers[TAGGERS["test.json"]].get("rel_gold_majority_label") or "the largest"
    body = [
        [name.replace("  ", "&nbsp;&nbsp;").format(majority=majority)]
        + [_percent(scores.get(key)) for scores in taggers.values()]
        for name, key in rows
    ]
    return _table(["%", *taggers], body)


def _entities(taggers: dict[str, dict[str, Any]]) -> str:
    ours = taggers[TAGGERS["test.json"]]
    per_type = ours["ents_per_type"]
    others = {k: v for k, v in taggers.items() if v is not ours}
    body = []
    for label in sorted(per_type, key=lambda label: -per_type[label]["support"]):
        row = per_type[label]
        cells = [_percent(row[key]) for key in ("p", "r", "f")]
        for scores in others.values():
            cells.append(_percent((scores.get("ents_per_type") or {}).get(label, {}).get("f")))
        body.append([label, f"{row['support']:,}", *cells])
    return _table(["entity", "gold", "P", "R", "F1", *(f"F1, {name}" for name in others)], body)


def _relations(taggers: dict[str, dict[str, Any]]) -> str:
    ours = taggers[TAGGERS["test.json"]]
    gold, end_to_end = ours.get("rel_gold_per_type") or {}, ours.get("rel_per_type") or {}
    body = []
    for label in sorted(gold, key=lambda label: -gold[label]["support"]):
        row = gold[label]
        cells = [_percent(row[key]) for key in ("p", "r", "f")]
        cells.append(_percent(end_to_end.get(label, {}).get("f")))
        body.append([label, f"{row['support']:,}", *cells])
    header = ["relation", "gold", "P", "R", "F1 (gold entities)", "F1 (end to end)"]
    return _table(header, body)


def _read_seeds(folder: Path, file: str) -> list[dict[str, Any]]:
    """Of the run in the folder itself and of those in its folders seed*, by seed."""
    paths = [folder / file, *folder.glob(f"seed*/{file}")]
    found = [json.loads(path.read_text(encoding="utf8")) for path in paths if path.is_file()]
    return sorted(found, key=lambda scores: scores["meta"]["seed"])


def _benchmark(title: str, runs: list[dict[str, Any]], dev: list[dict[str, Any]]) -> str:
    """runs, dev: Scores on the test and on the development set, of one or more seeds."""
    first = runs[0]
    rows = [
        ("**entities, strict**", "ents", ""),
        *((f"&nbsp;&nbsp;{label}", "ents", label) for label in first["ents_per_type"] or {}),
        ("**relations between gold entities**", "rel_gold_micro", ""),
        ("&nbsp;&nbsp;whatever the label", "rel_gold_pair", ""),
        ("**relations end to end**", "rel_micro", ""),
        ("&nbsp;&nbsp;whatever the label", "rel_pair", ""),
    ]
    if len(first["rel_gold_per_type"] or {}) < 2:  # then the label makes no difference
        rows = [row for row in rows if row[1] not in ("rel_gold_pair", "rel_pair")]
    body = []
    for name, key, label in rows:
        groups = [
            run["ents_per_type"][label] if label else {k: run.get(f"{key}_{k}") for k in "prf"}
            for run in runs
        ]
        body.append([name, *(_mean(group[k] for group in groups) for k in "prf")])
    parts = [
        f"{title}, test set ({first['ents_docs']:,} abstracts). {_runs(runs)}.",
        _table(["%", "P", "R", "F1"], body),
    ]
    for split, scored in (("test", runs), ("dev", dev)):
        errors = [
            f"{name} {_mean((run[key] for run in scored), 1, 3)}"
            for name, key in ERRORS.items()
            if scored and scored[0].get(key) is not None
        ]
        if errors:
            parts.append(f"Expected calibration error on {split}: {', '.join(errors)}.")
    if dev:
        figures = [f"{name} {_mean(run[key] for run in dev)}" for name, key in SCORES.items()]
        parts.append(
            f"F1 on dev, trained on train alone, thresholds tuned there: {', '.join(figures)}. "
            f"{_runs(dev)}."
        )
    return "\n\n".join(parts)


def _encoders(metrics: Path) -> str:
    """RETURNS (str): F1 by encoder, of what is scored with each; empty if nothing is."""
    body, measured = [], []
    for corpus, title in BENCHMARKS.items():
        for file, split in ((f"{corpus}_dev.json", "dev"), (f"{corpus}.json", "test")):
            sides = [_read_seeds(metrics / place, file) for place in ENCODERS.values()]
            if not all(sides):
                continue
            for name, key in SCORES.items():
                row = [f"{title}, {split}", name]
                body.append([*row, *(_mean(run[key] for run in runs) for runs in sides)])
            for encoder, runs in zip(ENCODERS, sides):
                measured.append(f"{title}, {split}, {encoder}: {_runs(runs)}.")
    if not body:
        return ""
    intro = (
        "Encoders, with the same settings. Dev: trained on train alone, thresholds tuned on dev. "
        "Test: trained on train and dev."
    )
    return "\n\n".join((intro, _table(["F1", "", *ENCODERS], body), " ".join(measured)))


def _runs(runs: list[dict[str, Any]]) -> str:
    metas = [run["meta"] for run in runs]
    days = sorted({meta["date"][:10] for meta in metas})
    seeds = ", ".join(str(meta["seed"]) for meta in metas)
    commits = dict.fromkeys(f"`{(meta['commit'] or 'none')[:10]}`" for meta in metas)
    spread = "; mean and standard deviation" if len(runs) > 1 else ""
    return (
        f"Measured {' and '.join(dict.fromkeys((days[0], days[-1])))}, "
        f"{'seeds' if len(runs) > 1 else 'seed'} {seeds}{spread}, commit {', '.join(commits)}"
    )


def _mean(values: Iterable[float | None], factor: float = 100, digits: int = 1) -> str:
    known = [None if value is None else factor * value for value in values]
    return "" if None in known else mean_and_deviation(known, digits)


def _pretraining(records: dict[str, dict[str, Any]]) -> str:
    # Each record also has its run's own masker: the table shows those that all have.
    measured = [record["heldout"]["after"] for record in records.values()]
    maskers = [name for name in measured[0] if all(name in other for other in measured)]
    first = next(iter(records.values()))["heldout"]["before"]
    body = [["starting encoder, fresh heads", *_losses(first, maskers), "", ""]]
    for title, record in records.items():
        tokens, commit = f"{record['tokens']:,}", f"`{(record['git_commit'] or 'none')[:10]}`"
        body.append([title, *_losses(record["heldout"]["after"], maskers), tokens, commit])
    sentence = "Held-out loss of masked word pieces (nats), by the masker that hid them:"
    return f"{sentence}\n\n" + _table(["", *maskers, "span boundary", "tokens", "commit"], body)


def _domain(record: dict[str, Any]) -> str:
    hours = record["seconds"] / 3600
    return (
        f"Domain run (`spacy project run pretrain-domain`): {record['train_documents']:,} texts, "
        f"{hours:.1f} hours, {record['tokens_per_second']:,.0f} tokens a second in "
        f"{record['precision']}."
    )


def _comparison(title: str, file: str, comparison: dict[str, Any]) -> str:
    runs = comparison["runs"]
    commits = sorted({(run["commit"] or "none")[:10] for run in runs})
    origin = (
        f"{title} (`python -m benchmarks ablation {comparison['plan']} --json metrics/{file}`; F1 in %, "
        f"mean and standard deviation over seeds, in brackets the mean difference from the first "
        f"one with the same seeds; thresholds not tuned), commit "
        f"{', '.join(f'`{commit}`' for commit in commits)}."
    )
    names = {score: name for name, score in SCORES.items()}
    return f"{origin}\n\n{summarise(runs, comparison['scores'], names)}"


def _inference(record: dict[str, Any]) -> str:
    body = []
    for name, group in record["groups"].items():
        name += " (made by joining abstracts)" if group["joined_abstracts"] else ""
        speeds = [f"{group[side]:,.0f}" for side in ("stock", "ours")]
        body.append([name, *speeds, f"{group['ratio']:.2f}"])
    settings = record["settings"]
    texts = "".join(f" --text {path}" for path in record["text"])
    origin = (
        f"Speed of a whole pipeline beside the stock one (`python -m benchmarks inference --model "
        f"{record['model']}{texts}`, {settings['threads']} threads, ours in "
        f"{settings['precision']}, stock in {settings['stock_precision']}, medians of "
        f"{settings['rounds']} rounds), commit `{(record['commit'] or 'none')[:10]}`."
    )
    return f"{origin}\n\n" + _table(["words/s", "stock", "ours", "ratio in a round"], body)


def _bench_train(record: dict[str, Any]) -> str:
    ours, stock = record["ours"], record["stock"]
    settings = record["settings"]
    return (
        f"Time of `spacy train` until the entity pipe is as good on dev as stock `ner` after "
        f"{settings['stock_steps']:,} steps (`python -m benchmarks train --train {settings['train']} --dev "
        f"{settings['dev']} --stock-steps {settings['stock_steps']} --steps {settings['steps']} "
        f"--eval-frequency {settings['eval_frequency']}`, F1 {record['target']:.1%}, seed "
        f"{settings['seed']}, ours in {settings.get('precision', 'auto')}, stock in float32): stock "
        f"takes {stock['seconds']:,.0f} s, {record['ratio']:.2f} times as long as ours, "
        f"{ours['seconds']:,.0f} s. Commit `{(record['commit'] or 'none')[:10]}`."
    )


def _bench_pretrain(record: dict[str, Any]) -> str:
    return (
        f"Speed of pretraining beside the stock recipe (`python -m benchmarks pretrain`, "
        f"{record['batch_size']} blocks of {record['block_length']} a step, ours in "
        f"{record['precision']}): {record['ours']:,.0f} against {record['stock']:,.0f} tokens/s, "
        f"{record['ratio']:.2f} times as fast by the median of the rounds' ratios. Masking takes "
        f"{record['masking_share']:.2%} of the time, {record['masking']['ratio']:.0f} times as fast "
        f"as SpanBERT's loop. Commit `{(record['commit'] or 'none')[:10]}`."
    )


def _bench_losses(record: dict[str, Any]) -> str:
    seeds = list(record["losses"].values())
    titles = {
        "stock": "stock (token masks)",
        "stock_rates": "stock, our optimizer and rates",
        "ours_token": "ours, token masks",
        "ours": "ours, its own masks",
    }
    maskers = list(seeds[0]["stock"])
    body = [
        [title, *(mean_and_deviation([seed[side][name] for seed in seeds], 3) for name in maskers)]
        for side, title in titles.items()
        if side in seeds[0]
    ]
    tokens = f" ({record['loss_tokens']:,})" if "loss_tokens" in record else ""
    sentence = (
        f"Held-out loss of pretraining after equal tokens{tokens}, ours in {record['precision']}, "
        f"mean and deviation over {len(seeds)} seeds, commit `{(record['commit'] or 'none')[:10]}`:"
    )
    return f"{sentence}\n\n" + _table(["", *maskers], body)


def _losses(heldout: dict[str, dict[str, float]], maskers: list[str]) -> list[str]:
    boundary = next((m["sbo_loss"] for m in heldout.values() if "sbo_loss" in m), None)
    figures = [heldout[masker]["loss"] for masker in maskers]
    return [f"{x:.3f}" for x in figures] + ["" if boundary is None else f"{boundary:.3f}"]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
