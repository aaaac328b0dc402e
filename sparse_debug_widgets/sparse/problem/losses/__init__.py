"""The three losses of the elastic-net path, with the conjugates that certify it.

A loss is bound to its training targets and sample weights. All arrays are class-major, ``(C, n)``: row c
holds output c of every example, which is the layout in which matrix products with a feature-major ``(p, n)``
matrix are fastest. Every loss has the form ``loss_i(z) = A(z) - <y_i, z>`` up to a constant, so that its
gradient is ``mean_response(z) - y_i``; solvers that keep a table may keep mean responses, because targets
cancel in differences.

Sample weights s are normalised to sum to n, so that ``(1/n) sum_i s_i loss_i`` is a weighted mean.

A process may hold a share of the examples only. Per-example arrays are then of its own ``n_local`` examples,
and every sum over examples goes through :attr:`Loss.total`, which adds up the processes' sums.
"""

from sparse_debug_widgets.sparse.problem.losses.binomial import Binomial
from sparse_debug_widgets.sparse.problem.losses.gaussian import Gaussian
from sparse_debug_widgets.sparse.problem.losses.loss import Assessment, Loss
from sparse_debug_widgets.sparse.problem.losses.multinomial import Multinomial

__all__ = ["Assessment", "Binomial", "Gaussian", "Loss", "Multinomial"]
