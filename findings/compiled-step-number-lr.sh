#!/usr/bin/env bash
# Good guess, and common advice: a compiled optimizer step with a number as lr is compiled anew each time that a
# scheduler changes it, so lr has to be a tensor.
# Wrong: it is compiled twice, at the first step and at the first change, which makes the number an input of the
# graph; after that no change compiles anything. A tensor saves one compilation, not one a step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import torch

print("torch", torch.__version__)


def compilations(lr, change):
    """Return how many graphs were built after each of six steps."""
    built, seen = [], []

    def backend(graph, inputs):
        built.append(graph)
        return graph.forward

    torch._dynamo.reset()
    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=lr)
    step = torch.compile(lambda: optimizer.step(), backend=backend)
    for number in range(6):
        weight.grad = torch.ones(3)
        step()
        seen.append(len(built))
        change(optimizer.param_groups[0], 0.1 / (number + 2))
    return seen


as_number = compilations(0.1, lambda group, lr: group.update(lr=lr))
as_tensor = compilations(torch.tensor(0.1), lambda group, lr: group["lr"].fill_(lr))
print("number:", as_number, "tensor:", as_tensor)
assert as_number == [1, 2, 2, 2, 2, 2]
assert as_tensor == [1, 1, 1, 1, 1, 1]
EOF
