"""A helper of the toy tasks, two imports away from the suite."""

FACTOR = 0.5


def loss(x):
    # half the squared norm
    return FACTOR * (x**2).sum()
