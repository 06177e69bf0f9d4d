"""V-Express's conditional dropout in the drawn world."""
