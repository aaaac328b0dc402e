"""The thesis' locality, pixel by pixel."""

import math


def voronoi_locality(maps, points, box):
    """Algorithm 3 and H_n for one x-feature: maps, points and boxes of each image, in lists."""
    n_parts = len(points[0])
    total = [0.0] * (n_parts + 1)
    for image, parts, (top, left, bottom, right) in zip(maps, points, box, strict=True):
        height, width = len(image), len(image[0])
        mass = sum(map(sum, image))
        distance, owner = {}, {}
        for i in range(height):
            for j in range(width):
                if top <= i < bottom and left <= j < right:
                    away = [math.dist((i, j), part) for part in parts]
                    owner[i, j] = away.index(min(away))
                    distance[i, j] = min(away)
        for p in range(n_parts):
            cell = [pixel for pixel, part in owner.items() if part == p]
            farthest = max((distance[pixel] for pixel in cell), default=0)
            for i, j in cell:
                weight = 1 - distance[i, j] / farthest if farthest > 0 else 1
                total[p] += weight * image[i][j] / mass
        for i in range(height):
            for j in range(width):
                if (i, j) not in owner:
                    total[-1] += image[i][j] / mass
    whole = sum(total)
    return -sum(s / whole * math.log(s / whole) for s in total if s > 0)
