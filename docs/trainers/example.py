"""The model and the data that every recipe trains: an embedding, norms, dropout; 40 samples."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

chance = True
"""Whether batches are shuffled, and features dropped."""


class Net(nn.Module):
    """Four words in, a score for each word that may come next out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.hidden = nn.Linear(8, 16)
        self.bn = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.1 if chance else 0.0)
        self.head = nn.Linear(16, 11)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.hidden(self.norm(self.embedding(words)).mean(1))
        return self.head(self.dropout(torch.relu(self.bn(x))))


class Words(Dataset):
    """Forty samples: four words, and the one that comes next."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.words = torch.randint(11, (40, 5), generator=generator)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.words[index, :4], self.words[index, 4]


def loader(batch_size: int = 4) -> DataLoader:
    """Return ten batches of four, or what there is of another size."""
    return DataLoader(Words(), batch_size=batch_size, shuffle=chance)


def loss_of(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of a batch."""
    return nn.functional.cross_entropy(scores, target)
