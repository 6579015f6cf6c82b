import torch

from ups.data.blocks import BLOCK, fill


def rows(block, report):
    report(0.5)
    report(1.0)
    frames = torch.arange(BLOCK, dtype=torch.float64)[:, None] + block * BLOCK
    return frames, -frames


def test_rows_are_numbered_through_and_the_last_block_is_cut():
    made = fill(torch.empty(2 * BLOCK + 5, 1), torch.empty(2 * BLOCK + 5, 1), rows, None, "")
    assert torch.equal(made["values"][:, 0], torch.arange(2.0 * BLOCK + 5))
    assert torch.equal(made["params"], -made["values"])
    assert made["values"].dtype == torch.float32


def test_progress_is_the_fraction_of_all_rows():
    seen = []
    fill(
        torch.empty(48, 1),
        torch.empty(48, 1),
        rows,
        lambda fraction, text: seen.append((fraction, text)),
        "rows",
    )
    assert seen == [(16 / 48, "rows"), (32 / 48, "rows"), (1.0, "rows"), (1.0, "rows")]
