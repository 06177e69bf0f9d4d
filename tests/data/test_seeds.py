import torch

from fada.data.sampling.seeds import seeded


def drawn(seed: int, part: str) -> torch.Tensor:
    with seeded(seed, part):
        return torch.nn.Linear(3, 3).weight.detach().clone()


def test_weights_follow_from_seed_and_part_alone_whatever_was_drawn_before() -> None:
    first = drawn(0, "teacher")
    torch.randn(1000)
    assert torch.equal(drawn(0, "teacher"), first)
    assert not torch.equal(drawn(1, "teacher"), first)
    assert not torch.equal(drawn(0, "vae"), first)


def test_what_is_drawn_afterwards_is_what_would_have_been() -> None:
    torch.manual_seed(5)
    expected = torch.randn(4)
    torch.manual_seed(5)
    drawn(0, "teacher")
    assert torch.equal(torch.randn(4), expected)
