"""What theory and small simulations say about momentum whose gradients come late.

On the quadratic L(w) = 1/2 lambda w^2 everything but Adaptive Braking is a linear recurrence, and
the roots of its characteristic polynomial say all: `polynomials`, `unit_disc`, `stability`,
`half_life`. `recurrences` computes the same steps one by one, `braking` simulates what is not
linear, `schedule` counts the clocks and the memory of a pipeline. The verbs `zoo analyse delay`
and `zoo analyse pipeline` print and draw it. NumPy alone: torch is not imported.
"""
