"""Other frameworks' names for gradtx's transformations: `gradtx.interop.torch`, `gradtx.interop.keras`.

Neither imports the framework. `gradtx.interop.sklearn` takes over fitted scalers and hands them over.
"""
