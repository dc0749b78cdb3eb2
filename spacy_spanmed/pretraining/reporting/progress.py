"""Progress of a run on the console: a bar on a terminal, and a line for every log entry."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ConsoleProgress(TrainerCallback):
    """Shows step, losses, tokens a second and the time left, on the main worker only.

    console (Console): Where to write.
    """

    def __init__(self, console: Console):
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar at the step the run goes on from."""
        if state.is_world_process_zero:
            self.progress.start()
            self.task = self.progress.add_task(
                "Pretraining", total=state.max_steps, completed=state.global_step, figures=""
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if state.is_world_process_zero:
            self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if not state.is_world_process_zero or not logs or "tokens_per_second" not in logs:
            return
        speed = logs["tokens_per_second"]
        tokens_a_step = logs["tokens"] / max(state.global_step, 1)
        left = format_seconds((state.max_steps - state.global_step) * tokens_a_step / speed)
        sbo = f" · SBO {logs['sbo_loss']:.3f}" if "sbo_loss" in logs else ""
        figures = (
            f"loss {logs['loss']:.3f} · MLM {logs['mlm_loss']:.3f}{sbo} · {speed:,.0f} tokens/s · "
            f"{left} left"
        )
        self.progress.update(self.task, figures=figures)
        line = f"step {state.global_step}/{state.max_steps} · {figures}"
        self.progress.console.print(line, highlight=False)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back; also after a run that failed."""
        self.progress.stop()


def format_seconds(seconds: float) -> str:
    """``h:mm:ss``, or ``m:ss`` under an hour."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
