"""Products with the input Hessian, and what is solved with them."""
