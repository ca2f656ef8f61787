"""Training a run from its first batch to its last heat map. Reads from top to bottom.

The order of writing makes every moment safe to be killed in: metrics, then best.safetensors, then last.pt. What was
written after the last.pt from which a run goes on is taken back first and then written again, the same. All but the
metrics of an epoch is written while the next one is computed; a run is never more than that behind.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import CovidvizError, DeviceError, StoreError
from covidviz.evaluation.metrics import classification_metrics
from covidviz.schedule import learning_rates
from covidviz.store import layout
from covidviz.store.summary import better
from covidviz.store.writer import RunWriter
from covidviz.training import checkpoint
from covidviz.training.alarms import validation_alarms
from covidviz.training.batches import Pixels, epoch_order, send, slices
from covidviz.training.behind import Behind
from covidviz.training.dataset import Dataset, Split
from covidviz.training.devices import Device
from covidviz.training.features import CACHEABLE, CHUNK, Cut, Features, cut, cut_after, features, memory_order
from covidviz.training.fused import FusedHead, draw_masks, fits, one_thread
from covidviz.training.image_cache import content_key
from covidviz.training.losses import Criterion, make_criterion
from covidviz.training.models import build, changing_names, train_mode
from covidviz.training.optim import make_optimizer, set_learning_rates
from covidviz.training.position import Position
from covidviz.training.progress import Work
from covidviz.training.scoring import evaluate, evaluation_batch, probabilities
from covidviz.training.spared import Spared
from covidviz.training.tensorboard import Curves
from covidviz.training.weights import StartingWeights

__all__ = ["Stopped", "Training"]

RECORD_S = 0.5


class Stopped(Exception):  # noqa: N818 (an event, not an error)
    """The run was asked to stop."""


class Training:
    """One run being trained. `run` does everything; the methods below it come in the order in which it uses them."""

    def __init__(
        self,
        writer: RunWriter,
        config: TrainConfig,
        data: Dataset,
        device: Device,
        *,
        start: StartingWeights | None = None,
        say: Callable[[str], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            config: resolved.
            start: the starting weights; None from scratch.
            say: given one line per epoch, and what is suspicious.
            stop: asked after each batch, beside the run's own stop file.
        """
        self.writer, self.config, self.data, self.device = writer, config, data, device
        self.start, self.stop = start, stop
        self.say = say or (lambda text: None)  # noqa: ARG005
        train = data.splits["train"]
        torch.manual_seed(config.seed)
        model = build(config, len(config.classes), start=start)
        self.cut = cut(model)
        self.order = memory_order(model, device.device)
        self.model: nn.Module = model.to(device.device, memory_format=self.order)  # type: ignore[call-overload]
        self._find_tensors()
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(device.device.type, enabled=device.scaled)
        self.criterion: Criterion = make_criterion(config, train.labels, device.device)
        self.batches = slices(len(train), config.batch_size)
        self.position = Position(
            prob=torch.zeros(len(train), len(config.classes), device=device.device),
            loss=torch.zeros(len(train), device=device.device),
        )
        self.inputs: dict[str, Pixels | Features] = {name: Pixels(part.images) for name, part in data.splits.items()}
        self.spared = Spared(config, self.cut.where if self.cut else "")
        self.fused: FusedHead | None = None
        self.content: dict[str, str] = {}
        self.work = Work(config, {name: len(split) for name, split in data.splits.items()})
        self.behind = Behind()
        self.unrecorded: list[tuple[int, float, Tensor]] = []
        self.recorded_at = 0.0

    def run(self) -> str:
        """Train from where the run stands, to its end or until it is asked to stop.

        Returns:
            `completed` or `stopped`.

        Raises:
            CovidvizError: the loss became NaN, the GPU's memory is full, the disk is full, an image vanished.
        """
        self._restore()
        try:
            self._use_features()
            self.work.skip_epochs(self.position.epoch - 1)
            threads = one_thread() if self.fused is not None else nullcontext()
            with (
                threads,
                Curves(self.writer.run_dir, self.config, first_epoch=self.position.epoch) as curves,
                self.behind,
            ):
                while self.position.epoch <= self.config.epochs and not self._out_of_patience():
                    self._train_epoch()
                    self._end_epoch(curves)
            self.work.skip_epochs(self.config.epochs)
            if self.spared.splits:
                self.writer.status(frozen_cache=self.spared.document(self.position.epoch - 1))
            self._finish()
        except Stopped:
            return "stopped"
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            raise DeviceError(self._out_of_memory()) from error
        return "completed"

    # what need not be computed again

    def _use_features(self) -> None:
        """Replace images by the output of the frozen part where it is the same in every epoch."""
        if self.cut is None or self.config.cache == "off":
            return
        self.model.eval()
        for name, split in self.data.splits.items():
            how = self.config.augment if name == "train" else "none"
            if not len(split) or how not in CACHEABLE:
                continue
            try:
                found, new = self._features(self.cut, split, how, self.device)
            except StoreError as error:
                self.say(f"the frozen part is computed in each epoch: {error}")
                break
            self.inputs[name] = found
            self.spared.add(name, found, new=new)
        learned_from = isinstance(self.inputs["train"], Features)
        self.writer.status(frozen_once=learned_from, frozen_cache=self.spared.document())
        if self.spared.splits:
            self.say(self.spared.sentence())
        if learned_from:
            self._use_closed_form()

    def _use_closed_form(self) -> None:
        """Train a head alone without autograd, where that gives the same numbers but for rounding."""
        assert self.cut is not None
        head, alone = self.cut.rest[-1][1], len(self.cut.rest) == 1
        if self.config.cache == "auto" and self.device.device.type == "cpu" and alone and fits(head, self.optimizer):
            assert isinstance(head, nn.Sequential)
            assert isinstance(self.optimizer, torch.optim.SGD)
            self.fused = FusedHead(head, self.criterion, self.optimizer)
            self._find_tensors()

    def _find_tensors(self) -> None:
        """What is saved, found once, as it changes in place and a network has hundreds of modules."""
        self.stored = checkpoint.stored_state(self.model, self.config)
        self.changing = {name: self.stored[name] for name in changing_names(self.model)}

    def _features(self, parts: Cut, split: Split, how: str, device: Device) -> tuple[Features, bool]:
        if split.name not in self.content:
            self.content[split.name] = content_key(split.images.root, split.images.paths, self.config.image_size)
        content = self.content[split.name]
        batch = evaluation_batch(self.config.image_size, self.device)
        tell = self._asked(f"computing what is frozen, {split.name}")
        fast = self.config.cache == "auto"
        return features(parts, split.images, content, device, how, batch, tell, fast=fast)

    def _asked(self, phase: str) -> Callable[[int, int], None]:
        """Called with (done, all) before training starts: obeys a stop request and says what is being done."""
        told = -1.0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if self.stop() or self.writer.stop_requested():
                raise Stopped
            if time.monotonic() - told >= RECORD_S:
                self.writer.status(phase=f"{phase}, {done / max(total, 1):.0%}")
                told = time.monotonic()

        return tell

    def _forward(self, split: str) -> Callable[[Tensor], Tensor]:
        """From what `inputs` gives for a split to logits."""
        if self.cut is None:
            return self.model
        if isinstance(self.inputs[split], Features):
            return self._head if self.fused is not None else self.cut.forward
        return self.cut.whole

    def _head(self, x: Tensor) -> Tensor:
        """A head that is trained in closed form is float32 throughout, whatever its input was computed in."""
        assert self.cut is not None
        with torch.autocast(self.device.device.type, enabled=False):
            return self.cut.forward(x.float())

    # going on from last.pt

    def _restore(self) -> None:
        state = checkpoint.load_last(self.writer.path(layout.LAST))
        if state is None:
            self.writer.rewind({})
            return
        checkpoint.check_start(self.start, state["start_sha256"])
        if len(state["model"]) < len(self.stored):
            checkpoint.load_state(self.model, checkpoint.load_best(self.writer.path(layout.BEST))[0])
        checkpoint.load_state(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where the run began in another precision
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])
        if self.device.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device.device)
        at = self.position
        at.take(state)
        best = checkpoint.best_of(self.writer.path(layout.BEST))
        if best is not None and best[0] > at.best_epoch:
            # Killed between the two files. Where the repeated epoch comes out otherwise (a GPU may round in another
            # order), the weights that are kept still are those of the epoch they are said to be of.
            at.best_epoch, at.best = best
        self.writer.rewind(state["offsets"])

    def _save(self) -> None:
        """Now, and after what is still being written."""
        self.behind.wait()
        checkpoint.save_last(self.writer.path(layout.LAST), checkpoint.pack_last(self._state()))

    def _state(self) -> dict[str, Any]:
        """Everything to go on from here."""
        at = self.position
        done = self.batches[at.batch - 1].stop if at.batch else 0
        cuda = self.device.device.type == "cuda"
        return {
            # What is frozen in a network from scratch is in best.safetensors, once there is one.
            "model": self.changing if at.best_epoch else self.stored,
            "start_sha256": self.start.sha256 if self.start else "",
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device.device) if cuda else None,
            **at.state(done),
            "offsets": self.writer.offsets(),
        }

    # one epoch

    def _train_epoch(self) -> None:
        config, at, train = self.config, self.position, self.data.splits["train"]
        if self.fused is None:  # which asks no module; telling them all would be a percent of its epoch
            train_mode(self.model)
        order = epoch_order(len(train), config.seed, at.epoch)
        labels = send(train.labels[order].astype(np.float32), self.device.device)
        todo = self.batches[at.batch :]
        inputs = self.inputs["train"].batches(
            [order[part] for part in todo], config.augment, seed=config.seed, epoch=at.epoch, first=at.batch
        )
        began = time.monotonic()
        self._enter("training", self.work.train)
        try:
            for part in todo:
                step = (at.epoch - 1) * len(self.batches) + at.batch
                rates = learning_rates(config, step, len(self.batches))
                set_learning_rates(self.optimizer, rates)
                at.prob[part], at.loss[part] = self._step(next(inputs), labels[part])
                at.batch += 1
                self._record(step + 1, rates[0], at.loss[part].mean())
                self._tell(at.batch, len(self.batches))
        except Stopped:
            at.seconds += time.monotonic() - began
            self._flush()
            self._save()
            raise
        self._flush()
        at.seconds += time.monotonic() - began

    def _step(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step. Returns probabilities [B, C] and loss per sample [B], without waiting for them."""
        if self.fused is not None:
            logits = self.fused.step(inputs.float(), labels, draw_masks(self.fused.head, [len(inputs)])[0])
            return probabilities(logits, self.config.task), self.criterion(logits, labels)
        self.optimizer.zero_grad()
        with self.device.autocast():
            given = inputs.contiguous(memory_format=self.order) if inputs.ndim == 4 else inputs
            logits = self._forward("train")(given)
        loss = self.criterion(logits, labels)
        self.scaler.scale(loss.mean()).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return probabilities(logits.detach(), self.config.task), loss.detach()

    def _record(self, step: int, lr: float, loss: Tensor) -> None:
        """Keep a step's loss where it is: reading it makes a GPU wait, so it is done twice a second for all of them."""
        self.unrecorded.append((step, lr, loss))
        if time.monotonic() - self.recorded_at >= RECORD_S:
            self._flush()

    def _flush(self) -> None:
        self.recorded_at = time.monotonic()
        if not self.unrecorded:
            return
        losses = torch.stack([loss for _, _, loss in self.unrecorded]).tolist()
        rows = [(step, loss, lr) for (step, lr, _), loss in zip(self.unrecorded, losses, strict=True)]
        self.unrecorded.clear()
        number = next((i for i, (_, loss, _) in enumerate(rows) if not np.isfinite(loss)), None)
        total = self.config.epochs * len(self.batches)
        self.writer.steps(self.position.epoch, rows if number is None else rows[: number + 1], total=total)
        if number is not None:
            step, loss, lr = rows[number]
            kind = "NaN" if np.isnan(loss) else "infinite"
            raise CovidvizError(f"the loss became {kind} at step {step} (lr {lr:g}); try a smaller lr")

    def _out_of_patience(self) -> bool:
        patience, at = self.config.patience, self.position
        return patience is not None and at.best_epoch > 0 and at.epoch - 1 - at.best_epoch >= patience

    # after each epoch

    def _end_epoch(self, curves: Curves) -> None:
        config, at = self.config, self.position
        train, val = self.data.splits["train"], self.data.splits["val"]
        try:
            if config.train_eval:
                train_prob, train_loss, labels = *self._evaluate(train, "measuring train"), train.labels
            else:
                train_prob, train_loss = at.prob.cpu().numpy(), at.loss.cpu().numpy()
                labels = train.labels[epoch_order(len(train), config.seed, at.epoch)]
            prob, loss = self._evaluate(val, "validating")
        except Stopped:
            self._save()
            raise
        if not np.isfinite(loss).all():
            raise CovidvizError(f"the validation loss became NaN or infinite in epoch {at.epoch}; try a smaller lr")
        last_step = at.epoch * len(self.batches) - 1
        rates = {
            "lr": learning_rates(config, last_step, len(self.batches))[0],
            "seconds": round(at.seconds, 3),
            "images_per_s": round(len(train) / max(at.seconds, 1e-9), 2),
        }
        metrics = {
            "train": classification_metrics(train_prob, labels, config.classes, config.task, train_loss) | rates,
            "val": classification_metrics(prob, val.labels, config.classes, config.task, loss),
        }
        for name, values in metrics.items():
            self.writer.metrics(at.epoch, name, values)
        metric = config.monitor.removeprefix("val_")
        value, best = metrics["val"][metric], None
        if at.best is None or better(value, at.best, metric):
            at.best_epoch, at.best = at.epoch, value
            pack = partial(checkpoint.pack_best, config=config, epoch=at.epoch, value=value, start=self.start)
            best = checkpoint.later(pack, self.stored)
        at.history.append(prob.astype(np.float16))
        epoch, now = at.epoch, {"epoch": at.epoch, "best_epoch": at.best_epoch, "best": at.best}
        at.epoch, at.batch, at.seconds = epoch + 1, 0, 0.0
        state = self._state()
        history, last = state["history"].numpy(), checkpoint.later(checkpoint.pack_last, state)

        def write() -> None:
            if best is not None:
                checkpoint.save_best(self.writer.path(layout.BEST), best())
            self.writer.history(val.sample_id, range(1, epoch + 1), history)
            curves.epoch(epoch, metrics)
            checkpoint.save_last(self.writer.path(layout.LAST), last())
            alarms = validation_alarms(prob, val.labels, loss, config.classes, config.task)
            self.writer.status(**now, alarms=alarms)
            losses = ", ".join(f"{name} loss {values['loss']:.4f}" for name, values in metrics.items())
            what = f"{config.monitor} {value:.4f}{' (best)' if best is not None else ''}, {rates['seconds']} s"
            self.say(f"epoch {epoch} of {config.epochs}: {losses}, {what}")
            for alarm in alarms:
                self.say(alarm)

        self.behind.do(write)

    def _evaluate(self, split: Split, phase: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._enter(phase, len(split))
        # What fits with a backward pass fits eight times without.
        batch = min(evaluation_batch(self.config.image_size, self.device), 8 * self.config.batch_size)
        if self.fused is None:
            self.model.eval()
        forward, inputs = self._forward(split.name), self.inputs[split.name]
        if self.fused is not None and isinstance(inputs, Features):
            batch = inputs.rows_of(CHUNK)
        return evaluate(forward, inputs, split.labels, self.criterion, self.config.task, self.device, batch, self._tell)

    # the end

    def _finish(self) -> None:
        """With the best epoch's weights: probabilities and losses of every split, heat maps of val and test."""
        from covidviz.explain.cam import log_cams

        config, samples = self.config, self.data.samples
        tensors, _ = checkpoint.load_best(self.writer.path(layout.BEST))
        checkpoint.load_state(self.model, tensors)
        prob = np.zeros((len(samples), len(config.classes)), dtype=np.float32)
        loss = np.zeros(len(samples), dtype=np.float32)
        for name, split in self.data.splits.items():
            if not len(split):
                continue
            rows = (samples["split"] == name).to_numpy()
            prob[rows], loss[rows] = self._evaluate(split, "predicting")
            if name == "test":
                values = classification_metrics(prob[rows], split.labels, config.classes, config.task, loss[rows])
                self.writer.metrics(self.position.best_epoch, name, values)
        columns = {f"prob_{name}": prob[:, i] for i, name in enumerate(config.classes)}
        self.writer.predictions(pd.DataFrame({**samples[["sample_id", "split"]], **columns, "loss": loss}))
        for name in ("val", "test"):
            split = self.data.splits[name]
            if len(split):
                self._enter("explaining", Work.EXPLAIN * len(split))
                known, at = self._before_the_cam(split)
                ids, device = split.sample_id, self.device.device
                log_cams(
                    self.model, config, name, ids, split.images, self.writer, device, self._tell, known=known, at=at
                )

    def _before_the_cam(self, split: Split) -> tuple[Features | None, str]:
        """What is known on the way to the heat maps, and the step it goes into. Heat maps are made in float32."""
        if self.config.cache == "off":
            return None, ""
        frozen = cut_after(self.model, MODELS[self.config.model].cam_layer)
        if frozen is not None:
            try:
                return self._features(frozen, split, "none", Device(self.device.device))[0], frozen.where
            except StoreError as error:
                self.say(f"heat maps are computed from the images: {error}")
        known = self.inputs[split.name]
        if frozen is None and self.cut is not None and isinstance(known, Features) and known.dtype == torch.float32:
            return known, self.cut.where
        return None, ""

    # on the way

    def _enter(self, phase: str, work: float) -> None:
        self.work.enter(work)
        self.writer.status(phase=phase)

    def _tell(self, done: int, total: int) -> None:
        """Called after each batch of whatever is being done: shows progress, obeys a stop request."""
        if self.stop() or self.writer.stop_requested():
            raise Stopped
        progress, eta_s = self.work.at(done / total)
        self.writer.status(progress=progress, eta_s=eta_s)

    def _out_of_memory(self) -> str:
        """The sentence for a full GPU, with the batch size that fits, found by trying smaller ones."""
        size = self.config.batch_size
        self.optimizer.zero_grad()
        fits = size // 2
        train_mode(self.model)
        while fits >= 1:
            torch.cuda.empty_cache()
            try:
                batch = next(self.inputs["train"].batches([np.zeros(fits, np.int64)]))
                labels = torch.zeros(fits, len(self.config.classes), device=self.device.device)
                self._step(batch, labels)
                break
            except torch.OutOfMemoryError as error:
                traceback.clear_frames(error.__traceback__)
                fits //= 2
        what = f"the memory of {self.device.title} is too small for batch_size {size}"
        return f"{what}; batch_size {fits} fits" if fits else f"{what}, even for batch_size 1; try a smaller image_size"
