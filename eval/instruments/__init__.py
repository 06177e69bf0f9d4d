"""What measures real footage: networks whose weights are at hand."""
