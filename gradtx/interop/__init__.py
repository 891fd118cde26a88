"""Other frameworks' names for gradtx's transformations: `gradtx.interop.torch`, `gradtx.interop.keras`.

Neither imports the framework.
"""
