"""The order in which features enter a class, with what each stands for."""
