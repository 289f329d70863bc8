"""Stops a training after some steps, as Ctrl-C does."""

import signal

from vlae.training import loop


def stop_at_step(monkeypatch, step):
    """Makes the next training get SIGINT after so many steps; it logs and saves often, so that it can be resumed."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    original, calls = loop.Recorder.on_train_batch_end, []

    def stop(self, *args):
        calls.append(1)
        if len(calls) == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(loop.Recorder, "on_train_batch_end", stop)
