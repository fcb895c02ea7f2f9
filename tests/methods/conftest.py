"""What tests of formulas share."""

import pytest
import torch


@pytest.fixture(scope="module")
def double_precision():
    """Formulas are compared in float64, torch's default for the tests of a file that asks for this."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
