"""Excitation backprop by the textbook: explicit matrices, one share at a time, float64.

A network is a list of layers: ``("linear", matrix (out, in), bias)``, ``("relu",)``, ``("max", groups)``
with the inputs of each output, ``("residual", branch, shortcut)`` with two lists of layers. Vectors are flat.
"""

import numpy as np


def convolution(weight, bias, shape, *, stride=1, padding=0):
    """The matrix of a convolution of maps (channels, H, W), its bias, and the shape of the result."""
    out_channels, channels, kh, kw = weight.shape
    _, height, width = shape
    rows, columns = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    matrix = np.zeros((out_channels, rows, columns, channels, height, width))
    for o in range(out_channels):
        for i in range(rows):
            for j in range(columns):
                for c in range(channels):
                    for a in range(kh):
                        for b in range(kw):
                            y, x = i * stride + a - padding, j * stride + b - padding
                            if 0 <= y < height and 0 <= x < width:
                                matrix[o, i, j, c, y, x] += weight[o, c, a, b]
    size = rows * columns
    return matrix.reshape(out_channels * size, -1), np.repeat(bias, size), (out_channels, rows, columns)


def windows(shape, size):
    """The flat inputs of each output of a pooling without overlap, and the shape of the result."""
    channels, height, width = shape
    rows, columns = height // size, width // size
    places = np.arange(channels * height * width).reshape(shape)
    groups = [
        places[c, i * size : (i + 1) * size, j * size : (j + 1) * size].ravel()
        for c in range(channels)
        for i in range(rows)
        for j in range(columns)
    ]
    return groups, (channels, rows, columns)


def averages(groups, n):
    """The matrix of an average pooling."""
    matrix = np.zeros((len(groups), n))
    for row, group in zip(matrix, groups, strict=True):
        row[group] = 1 / len(group)
    return matrix


def forward(layers, x):
    """The input of each layer, and the output of the last."""
    inputs = []
    for kind, *parts in layers:
        inputs.append(x)
        if kind == "linear":
            x = parts[0] @ x + parts[1]
        elif kind == "relu":
            x = np.maximum(x, 0)
        elif kind == "max":
            x = np.array([x[group].max() for group in parts[0]])
        else:
            x = forward(parts[0], x)[1] + forward(parts[1], x)[1]
    return inputs, x


def linear_rule(matrix, x, mass):
    """Each output hands its mass to its inputs, in proportion to their positive contributions."""
    found = np.zeros_like(x)
    for weights, p in zip(matrix, mass, strict=True):
        contributions = np.maximum(weights * x, 0)
        total = contributions.sum()
        if total > 0:
            found += p * contributions / total
    return found


def mass_at_input(layers, x, mass, *, contrastive=False):
    """Mass of each input, given the mass of each output.

    Args:
        layers: See the module.
        x: The input.
        mass: Of each output of the last layer.
        contrastive: Subtract the mass of the last layer with its weights negated (a linear layer, or a
            rectifier above one).
    """
    inputs, _ = forward(layers, x)
    for (kind, *parts), below in zip(layers[::-1], inputs[::-1], strict=True):
        if kind == "linear":
            found = linear_rule(parts[0], below, mass)
            if contrastive:
                found, contrastive = found - linear_rule(-parts[0], below, mass), False
            mass = found
        elif kind == "relu":
            mass = mass * (below > 0)
        elif kind == "max":
            found = np.zeros_like(below)
            for group, p in zip(parts[0], mass, strict=True):
                found[group[below[group].argmax()]] += p
            mass = found
        else:
            first, second = (np.maximum(forward(part, below)[1], 0) for part in parts)
            total = first + second
            share = np.where(total > 0, first / np.where(total > 0, total, 1), 0.5)
            mass = mass_at_input(parts[0], below, mass * share) + mass_at_input(
                parts[1], below, mass * (1 - share)
            )
    return mass
