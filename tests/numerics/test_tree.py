import torch

from rlrun.numerics.tree import tree_map, tree_where


def test_tree_where_chooses_slot_by_slot_in_every_leaf() -> None:
    condition = torch.tensor([True, False])
    yes = {"h": torch.tensor([[1, 2], [3, 4]]), "c": (torch.tensor([5, 6]),)}
    no = {"h": torch.tensor([[-1, -2], [-3, -4]]), "c": (torch.tensor([-5, -6]),)}
    chosen = tree_where(condition, yes, no)
    assert chosen["h"].tolist() == [[1, 2], [-3, -4]]
    assert chosen["c"][0].tolist() == [5, -6]


def test_tree_map_keeps_the_structure() -> None:
    tree = [torch.tensor(1), {"a": (torch.tensor(2),)}]
    assert tree_map(lambda leaf: leaf * 10, tree) == [torch.tensor(10), {"a": (torch.tensor(20),)}]
