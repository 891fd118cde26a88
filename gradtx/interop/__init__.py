"""Other frameworks' names for gradtx's transformations: `gradtx.interop.torch` and `gradtx.interop.keras`.

Neither imports its framework. `gradtx.interop.sklearn` converts fitted scalers from and to scikit-learn, and
`gradtx.interop.grain` scales the elements of Grain's datasets.
"""
