"""The paper's tables in the closed-form world."""
