"""Studies of teachers: rows of settings, trained from nothing over seeds, measured, and the page of them."""
