"""Several processes must hold the same networks; if they do not, the run says so and stops."""

import hashlib

import lightning as L
import torch
import torch.distributed as dist
from torch import nn

from lightning_modules.distributed import process_count
from provenance import UserError


def state_digest(module: nn.Module) -> int:
    """63 bits of the SHA-256 over all parameters' and buffers' bytes, in order."""
    digest = hashlib.sha256()
    for tensor in (*module.parameters(), *module.buffers()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


class ProcessesAgree(L.Callback):
    """Compares the networks of all processes bit by bit after the first epoch and at the end.

    Gradients are averaged by our own code, so a mistake there, in a method that someone adds or in
    a library, would train several different models and keep one. This costs two hashes a run.
    """

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """After the first epoch: soon enough to save the rest."""
        if trainer.current_epoch == 0:
            self._compare(module)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """At the end: of the whole training."""
        self._compare(module)

    @staticmethod
    def _compare(module: L.LightningModule) -> None:
        if process_count() == 1:
            return
        own = torch.tensor(state_digest(module), device=module.device)
        lowest, highest = own.clone(), own.clone()
        dist.all_reduce(lowest, op=dist.ReduceOp.MIN)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        if lowest != highest:
            raise UserError(
                "The processes hold different networks, so the training is not the one that was "
                "asked for. Train on one device (--trainer.devices 1), and report it with the "
                "run's config.yaml."
            )
