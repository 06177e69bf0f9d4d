"""The paper's tables in the drawn world."""
