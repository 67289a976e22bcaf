#!/usr/bin/env bash
# Good guess: torch's schedule inside Ignite's LRScheduler, stepped five times, says by get_last_lr() what the lr is.
# Wrong: the lr is right, get_last_lr() (and "_last_lr" in every checkpoint) stays where it began.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy pytorch-ignite==0.5.5
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import ignite
import torch
from ignite.engine import Engine, Events
from ignite.handlers import LRScheduler

print("ignite", ignite.__version__)
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
wrapped = LRScheduler(schedule)
trainer = Engine(lambda engine, batch: optimizer.step())
trainer.add_event_handler(Events.ITERATION_COMPLETED, wrapped)
trainer.run(range(5))
lr, last = optimizer.param_groups[0]["lr"], schedule.get_last_lr()
print("last_epoch", schedule.last_epoch, "lr", lr, "get_last_lr()", last)
assert schedule.last_epoch == 5
assert abs(lr - 0.01) < 1e-9
assert last == wrapped.state_dict()["lr_scheduler"]["_last_lr"] == [1.0]
EOF
