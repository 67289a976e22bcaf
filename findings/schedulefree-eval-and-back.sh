#!/usr/bin/env bash
# Good guess: optimizer.eval() and then optimizer.train() put the same weights back, so that a look at the averages changes nothing.
# Wrong: each way is an interpolation that rounds; the weights come back with other last bits, and the run ends elsewhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy typing_extensions schedulefree==1.4.1
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
from importlib.metadata import version

import torch
from schedulefree import AdamWScheduleFree

print("schedulefree", version("schedulefree"))


def run(look):
    torch.manual_seed(0)
    net = torch.nn.Linear(16, 16)
    optimizer = AdamWScheduleFree(net.parameters(), lr=0.01)
    optimizer.train()
    for step in range(20):
        optimizer.zero_grad()
        net(torch.randn(8, 16)).square().mean().backward()
        optimizer.step()
        if look and step == 9:
            before = net.weight.detach().clone()
            optimizer.eval()
            optimizer.train()
            away = (net.weight.detach() - before).abs().max().item()
            print(f"after eval() and train() the weights are up to {away:.1e} away")
            assert 0 < away < 1e-6
    return net.weight.detach()


print("ends equal to the bit:", torch.equal(run(True), run(False)))
assert torch.equal(run(False), run(False))
assert not torch.equal(run(True), run(False))
EOF
