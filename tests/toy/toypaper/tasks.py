"""The toy tasks."""

import os
import signal
import time

import numpy as np
import torch

from retable.bench.task import Evaluation
from toypaper.helper import loss


class DescentTask:
    def __init__(self, settings, context):
        self.settings, self.steps = settings, settings.steps
        start = context.start["x"] if context.start else torch.randn(4)
        self.x = start.clone().requires_grad_()
        self.velocity = torch.zeros(4)

    def step(self, index):
        s = self.settings
        if index == s.fail_at:
            raise ValueError("the toy was told to fail")
        if index == s.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if s.pause:
            time.sleep(s.pause)
        total = loss(self.x)
        (gradient,) = torch.autograd.grad(total, self.x)
        with torch.no_grad():
            noise = 0.01 * torch.randn(4)  # so that a wrong generator state shows after a resume
            self.velocity = (0.5 if s.method == "momentum" else 0.0) * self.velocity + gradient + noise
            self.x -= s.lr * self.velocity
        return {"loss/total": total.detach()}

    def evaluate(self):
        picture = np.full((8, 8, 3), 128, np.uint8)
        with torch.no_grad():
            final = float(loss(self.x))
        x = self.x.detach()
        arrays = {"end": {"x": x.numpy()}}
        return Evaluation({"loss/final": final}, {"picture": picture}, arrays, {"x": x}, self.settings.collapsed)

    def state_dict(self):
        return {"x": self.x.detach(), "velocity": self.velocity}

    def load_state_dict(self, state):
        self.x = state["x"].clone().requires_grad_()
        self.velocity = state["velocity"].clone()


class SharedTask:
    """The mean over all processes of a drawn number and of the process's own; adds it up."""

    def __init__(self, settings, context):
        self.settings, self.steps, self.total = settings, settings.steps, torch.zeros(())
        self.rank, self.ranks = context.rank, context.ranks

    def step(self, index):
        time.sleep(self.settings.pause)
        if index == 5 and self.rank == self.settings.fail_rank:
            raise ValueError("the toy was told to fail")
        mean = torch.rand(()) + self.rank - (self.ranks - 1) / 2  # the same as without the others
        if self.ranks > 1:
            torch.distributed.all_reduce(mean)
            mean /= self.ranks
        self.total = self.total + mean
        return {"loss/total": mean}

    def evaluate(self):
        return Evaluation({"loss/final": float(self.total)})

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"].clone()


class IdleTask:
    steps = 60

    def step(self, index):
        return {"loss/total": torch.zeros(())}

    def evaluate(self):
        return Evaluation()

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def make_descent(settings, context):
    return DescentTask(settings, context)


def make_idle(settings, context):
    return IdleTask()
